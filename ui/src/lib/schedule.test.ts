import { expect, test } from "vitest";
import { emptyWeek, hoursOf, paint, parseSchedule, QUARTERS, timeOf, writeSchedule, type Week } from "./schedule";

// The worker's own cases, so that both say hours in the same way.
test.each([
  ["mon-fri 18:00-08:00, sat-sun", "mon-fri 18:00-08:00, sat-sun"],
  ["MON-sun 0:00-24:00", "mon-sun"],
  ["sat-mon", "mon, sat-sun"],
  ["sun 22:00-6:15", "sun 22:00-06:15"],
  ["mon 12:00-13:00,mon 9:30 - 10:45, mon 13:00-14:00", "mon 09:30-10:45, mon 12:00-14:00"],
  ["mon 20:00-24:00, tue 00:00-20:00", "mon 20:00-24:00, tue 00:00-20:00"],
  ["mon 20:00-24:00, tue 00:00-19:45", "mon 20:00-19:45"],
  ["mon 00:00-06:00, mon 20:00-24:00", "mon 00:00-06:00, mon 20:00-24:00"],
  ["mon-sun 22:00-07:00, wed 12:00-13:00", "mon-sun 22:00-07:00, wed 12:00-13:00"],
  [" none ", "none"],
])("%s is written as people say it", (text, written) => {
  const week = parseSchedule(text);
  expect(week && writeSchedule(week)).toBe(written);
});

test.each([
  "",
  "mon,",
  "mon-fri, someday 8:00-9:00",
  "18:00-08:00",
  "mon 18:00",
  "mon 18:00-08:07",
  "mon 18:00-24:15",
  "mon 18:00-25:00",
  "mon 18:0x-19:00",
  "mon +8:00-19:00",
  "mon 18:00-18:00",
  "mon 24:00-08:00",
  "mon 18:00-08:00-09:00",
])("%j is no schedule", (text) => expect(parseSchedule(text)).toBeNull());

/** The same numbers in every run: a linear congruential generator with Numerical Recipes' constants. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("what is written is read back", () => {
  const next = numbers(4);
  for (let round = 0; round < 500; round += 1) {
    let week: Week = emptyWeek();
    for (let strokes = next(6); strokes > 0; strokes -= 1) {
      const rows: [number, number] = [next(7), next(7)];
      week = paint(week, [rows[0], next(QUARTERS)], [rows[1], next(QUARTERS)], next(3) > 0);
    }
    const text = writeSchedule(week);
    expect(parseSchedule(text), text).toEqual(week);
  }
});

test("a stroke paints a block, from whatever corner", () => {
  const week = paint(emptyWeek(), [2, 43], [1, 40], true);
  expect(writeSchedule(week)).toBe("tue-wed 10:00-11:00");
  expect(hoursOf(week)).toBe(2);
  expect(writeSchedule(paint(week, [1, 0], [1, QUARTERS - 1], false))).toBe("wed 10:00-11:00");
});

test("a quarter is a time", () => expect([timeOf(0), timeOf(73), timeOf(96)]).toEqual(["00:00", "18:15", "24:00"]));
