import { expect, test } from "vitest";
import * as units from "./units";

const plain = (text: string) => text.replaceAll(units.THIN, " ");

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024 ** 3 - 1, "1 GiB"],
  [2.94 * 1024 ** 3, "2.9 GiB"],
  [12 * 1024 ** 3, "12 GiB"],
  [150.4 * 1024 ** 3, "150 GiB"],
])("memory of %d bytes", (bytes, text) => expect(plain(units.memory(bytes))).toBe(text));

test("memory counts in powers of two, disks in powers of ten", () => {
  expect(plain(units.memoryOf(4.8 * 2 ** 30, 8 * 2 ** 30))).toBe("4.8 of 8 GiB");
  expect(plain(units.diskOf(102.4e9, 512e9))).toBe("102 of 512 GB");
  expect(plain(units.diskOf(500e6, 2e12))).toBe("0 of 2 TB");
});

test("a live figure keeps its width", () => {
  expect(plain(units.steadyMemoryOf(3 * 2 ** 30, 7.2 * 2 ** 30))).toBe("3.0 of 7.2 GiB");
  expect(plain(units.steadyMemoryOf(22 * 2 ** 20, 11.8 * 2 ** 30))).toBe("22 MiB of 11.8 GiB");
  expect(plain(units.steadyMemoryOf(0, 11.8 * 2 ** 30))).toBe("0.0 of 11.8 GiB");
});

test.each([
  [0, "0 %"],
  [0.0004, "< 1 %"],
  [0.0096, "1 %"],
  [0.184, "18 %"],
  [1, "100 %"],
])("the part %d", (part, text) => expect(plain(units.percent(part))).toBe(text));

test("limits are told to the tenth", () => {
  expect(plain(units.exactPercent(0.125))).toBe("12.5 %");
  expect(plain(units.share(150))).toBe("15 %");
});

test("cores come before per cent", () => {
  expect(units.cores(0.5, 8)).toBe("4 of 8 cores");
  expect(units.cores(0.25, 1)).toBe("0.3 of 1 core");
});

test.each([
  [0, "0 Wh"],
  [194.2, "194 Wh"],
  [999.6, "1.00 kWh"],
  [32_790, "32.79 kWh"],
])("energy of %d Wh", (wattHours, text) => expect(plain(units.energy(wattHours))).toBe(text));

test("large numbers are grouped, and very large ones told in millions", () => {
  expect(units.count(9_999_499)).toBe("9,999,499");
  expect(units.count(27_400_000)).toBe("27.4 million");
  expect(units.rate(0.42)).toBe("0.4");
  expect(units.rate(1240.4)).toBe("1,240");
});

test("what ran for less than an hour is told in minutes", () => {
  expect(units.activeTime(3500)).toBe("58 minutes");
  expect(units.activeTime(3600)).toBe("1 hour");
  expect(units.activeTime(3.3 * 3600)).toBe("3.3 hours");
});
