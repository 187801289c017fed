import { expect, test } from "vitest";
import { clock, parseDuration, writeDuration } from "./duration";

test.each([
  ["90s", 90],
  [" 3m ", 180],
  ["1h 30m", 5400],
  ["1h30m", 5400],
  ["10 minutes", 600],
  ["24h", 86_400],
])("%s is read", (text, seconds) => expect(parseDuration(text)).toBe(seconds));

test.each(["", "180", "-3m", "soon", "3m ago", "3 fortnights", "m"])("%s is no duration", (text) =>
  expect(parseDuration(text)).toBeNull(),
);

test("what is written is read back", () => {
  for (let seconds = 1; seconds <= 86_400; seconds += 37) {
    expect(parseDuration(writeDuration(seconds))).toBe(seconds);
  }
});

test.each([
  [-1, "0:00"],
  [133.9, "2:13"],
  [3733, "1:02:13"],
])("a clock of %d s", (seconds, text) => expect(clock(seconds)).toBe(text));
