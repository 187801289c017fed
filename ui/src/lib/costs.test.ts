import { expect, test } from "vitest";
import { atRest, certainty, costText, parseFigure, restWh } from "./costs";
import { sum } from "./days";
import { THIN } from "./units";

const figures = { price: null, currency: "", rest_watts: null, full_watts: null };
const plain = (text: string) => text.replaceAll(THIN, " ");
const day = (energy_wh: number, metered_wh: number) =>
  sum([{ date: "2026-11-25", tokens: 1, active_seconds: 3600, energy_wh, metered_wh, running_seconds: 7200 }]);

test("energy is told with its price where the donor has set one", () => {
  expect(plain(costText(420, figures))).toBe("420 Wh");
  expect(plain(costText(1420, { ...figures, price: 0.32, currency: "€" }))).toBe("1.42 kWh, 0.45 €");
  expect(plain(costText(420, { ...figures, price: 30 }))).toBe("420 Wh, 12.60");
});

test("what cannot be measured is said to be estimated", () => {
  expect(certainty(day(100, 100))).toBe("measured");
  expect(certainty(day(100, 40))).toBe("partly");
  expect(certainty(day(100, 0))).toBe("estimated");
  expect(certainty(day(0, 0))).toBe("estimated");
});

test("rest is the donor's figure before that of meters, and nothing without both", () => {
  const days = { days: [], method: "", figures, rest_watts: null };
  expect(atRest(days)).toBeNull();
  expect(atRest({ ...days, rest_watts: 12 })).toEqual({ watts: 12, by: "meters" });
  expect(atRest({ ...days, rest_watts: 12, figures: { ...figures, rest_watts: 45 } })).toEqual({
    watts: 45,
    by: "donor",
  });
  expect(restWh(day(100, 0), 45)).toBe(90);
});

test.each([
  ["", null],
  [" 0.32 ", 0.32],
  ["0,32", 0.32],
  ["45", 45],
  ["-1", Number.NaN],
  ["forty", Number.NaN],
])("%s in a field is %s", (text, figure) => expect(parseFigure(text)).toBe(figure));
