import { expect, test } from "vitest";
import { addDays, civil, isoDate, moment, noonOf, untilTomorrow } from "./time";

test.each([
  // A whole night: until eight on the next morning.
  ["2026-11-25T17:00:00", 15 * 3600],
  // After midnight, tomorrow is this morning.
  ["2026-11-25T01:00:00", 7 * 3600],
  ["2026-11-25T04:59:00", 3 * 3600 + 60],
  ["2026-11-25T05:00:00", 27 * 3600],
  ["2026-12-31T20:00:00", 12 * 3600],
])("from %s until tomorrow", (now, seconds) => expect(untilTomorrow(new Date(now))).toBe(seconds));

test("today's times stand alone, others with their day", () => {
  const now = new Date("2026-11-25T15:00:00").getTime();
  expect(moment(new Date("2026-11-25T14:32:00").getTime(), now)).toBe("14:32");
  expect(moment(new Date("2026-11-24T23:59:00").getTime(), now)).toBe("Tue 24 Nov, 23:59");
});

test("a civil time is the donor's own", () => {
  expect(civil("2026-11-25T14:30:00", true)).toBe("14:30");
  expect(civil("2026-11-26T08:00:00", false)).toBe("08:00 on 26 November 2026");
});

test("dates are added over months and changes of clocks", () => {
  expect(addDays("2026-02-28", 1)).toBe("2026-03-01");
  expect(addDays("2026-10-26", -2)).toBe("2026-10-24");
  expect(isoDate(noonOf("2026-03-29"))).toBe("2026-03-29");
});
