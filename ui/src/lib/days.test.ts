import { expect, test } from "vitest";
import type { Day } from "../api/types";
import { axisTop, bars, between, mondayOf, sum, valueOf } from "./days";

const day = (date: string, tokens: number): Day => ({
  date,
  tokens,
  active_seconds: 3600,
  energy_wh: 50,
  metered_wh: 0,
  running_seconds: 7200,
});

test.each([
  ["2026-11-25", "2026-11-23"],
  ["2026-11-23", "2026-11-23"],
  ["2026-11-29", "2026-11-23"],
  ["2027-01-01", "2026-12-28"],
  ["2026-10-25", "2026-10-19"], // clocks change on this day in much of Europe
])("the week of %s begins on %s", (date, monday) => expect(mondayOf(date)).toBe(monday));

test("days without work keep their place", () => {
  const all = bars([day("2026-11-23", 5), day("2026-11-25", 7)], "day", "2026-11-25");
  expect(all).toHaveLength(14);
  expect(all.slice(-3).map(({ date, tokens }) => [date, tokens])).toEqual([
    ["2026-11-23", 5],
    ["2026-11-24", 0],
    ["2026-11-25", 7],
  ]);
  expect(all.at(-1)).toMatchObject({ name: "Wed 25 Nov", mark: ["Wed", "25"] });
});

test("a week is the sum of its days, from Monday to Sunday", () => {
  const days = [day("2026-11-15", 1), day("2026-11-16", 2), day("2026-11-22", 4), day("2026-11-23", 8)];
  const weeks = bars(days, "week", "2026-11-25");
  expect(weeks.slice(-3).map(({ tokens }) => tokens)).toEqual([1, 6, 8]);
  expect(weeks.at(-1)).toMatchObject({ name: "Week of Mon 23 Nov", mark: ["23", "Nov"] });
});

test.each([
  [0, 1],
  [1, 1],
  [0.13, 0.2],
  [7.4, 8],
  [312_000, 400_000],
])("an axis for %s ends at %s", (highest, top) => expect(axisTop(highest)).toBe(top));

test("sums and what bars show of them", () => {
  const total = sum(
    between([day("2026-11-01", 1), day("2026-11-24", 2), day("2026-11-25", 3)], "2026-11-02", "2026-11-25"),
  );
  expect(total).toEqual({ tokens: 5, activeSeconds: 7200, energyWh: 100, meteredWh: 0, runningSeconds: 14_400 });
  expect([valueOf(total, "tokens"), valueOf(total, "active"), valueOf(total, "energy")]).toEqual([5, 2, 100]);
});
