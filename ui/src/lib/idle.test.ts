import { expect, test } from "vitest";
import { IdleClock } from "./idle";

test("extrapolates between two samples, for a limited time", () => {
  const clock = new IdleClock();
  expect(clock.at(0)).toBeNull();
  clock.tell(133, 10_000);
  expect(clock.at(11_500)).toBe(134.5);
  clock.tell(133, 11_900); // the same sample again
  expect(clock.at(12_000)).toBe(135);
  expect(clock.at(60_000)).toBe(138);
  clock.tell(0, 61_000);
  expect(clock.at(61_000)).toBe(0);
});
