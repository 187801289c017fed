import { expect, test } from "vitest";
import { csv, daysCsv, timelineCsv } from "./csv";
import { THIN } from "./units";

test("a line a day, with its figures in full", () => {
  const head = "date,tokens,active_seconds,energy_wh,metered_wh,running_seconds\r\n";
  const work = { tokens: 12345, active_seconds: 61.24, energy_wh: 3.5, metered_wh: 1.0004, running_seconds: 3600 };
  expect(daysCsv([{ date: "2026-11-24", ...work }])).toBe(`${head}2026-11-24,12345,61.2,3.5,1,3600\r\n`);
  expect(daysCsv([])).toBe(head);
});

test("the timeline is written from the oldest on", () => {
  const text = timelineCsv([
    { at: 2000, what: `Raised to 50${THIN}% of the CPU`, why: "Calm, at last" },
    { at: 1000, what: "Stopped", why: null },
  ]);
  expect(text.split("\r\n")).toEqual([
    "time,what,why",
    "1970-01-01T00:00:01.000Z,Stopped,",
    '1970-01-01T00:00:02.000Z,Raised to 50 % of the CPU,"Calm, at last"',
    "",
  ]);
});

test.each(["=1+1", "+1", "-1", "@sum", "\tx"])("%s is text, not a formula", (text) => {
  expect(csv(["a"], [[text]])).toBe(`a\r\n'${text}\r\n`);
});

test("quotes and lines stay in their field", () => {
  expect(csv(["a", "b"], [['say "no"', "two\nlines"]])).toBe('a,b\r\n"say ""no""","two\nlines"\r\n');
});
