import { expect, test } from "vitest";
import { THIN } from "./units";
import {
  parseAmount,
  parseBytes,
  parseCelsius,
  parsePercent,
  parsePrograms,
  parseSpeed,
  pretty,
  resolve,
  writePrograms,
} from "./value";

test.each([
  ["25", 0.25],
  [" 25 % ", 0.25],
  [`25${THIN}%`, 0.25],
  ["12.5%", 0.125],
  ["0", 0],
  ["100", 1],
  ["101", null],
  ["12.55", null],
  ["25%%", null],
  ["-3", null],
  ["", null],
])("the percentage %j", (text, part) => expect(parsePercent(text)).toBe(part));

test.each([
  ["500MB", 5e8],
  ["4 GiB", 4 * 2 ** 30],
  ["1.5gib", 1.5 * 2 ** 30],
  ["0B", 0],
  ["60", null],
  ["4 gallons", null],
  ["-1GiB", null],
])("the size %j", (text, bytes) => expect(parseBytes(text)).toBe(bytes));

test("an amount is bytes or a part, and never more than the whole", () => {
  const of = (text: string, whole: number) => resolve(parseAmount(text) ?? { part: Number.NaN, bytes: 0 }, whole);
  expect(parseAmount("60")).toBeNull();
  expect(parseAmount("4GiB up to 60%")).toBeNull();
  expect(parseAmount("60% up to 4")).toBeNull();
  expect(of("20GB", 1e10)).toBe(1e10);
  expect(of("60%", 1e10)).toBe(6e9);
  expect(of("60% up to 4GB", 1e10)).toBe(4e9);
  expect(of("60% up to 4GB", 5e9)).toBe(3e9);
});

test("a speed counts bytes, not bits", () => {
  expect(parseSpeed("10MB/s")).toBe(1e7);
  expect(parseSpeed("10Mb/s")).toBeNull();
  expect(parseSpeed("10MB")).toBeNull();
});

test("a temperature has a unit or none", () => {
  expect(parseCelsius("85°C")).toBe(85);
  expect(parseCelsius("85")).toBe(85);
  expect(parseCelsius("off")).toBeNull();
});

test("a list of programs survives the way", () => {
  expect(parsePrograms("none")).toEqual([]);
  expect(parsePrograms(writePrograms(["blender", "zoom"]))).toEqual(["blender", "zoom"]);
  expect(writePrograms([])).toBe("none");
});

test.each([
  ["12.5%", "12.5 %"],
  ["10MB/s", "10 MB/s"],
  ["85°C", "85 °C"],
  ["balanced", "balanced"],
  ["60% up to 4GiB", "60 % up to 4GiB"],
])("%s for people", (value, text) => expect(pretty(value).replaceAll(THIN, " ")).toBe(text));
