import { expect, test } from "vitest";
import { grouped } from "./fingerprint";

const KEY = "8ab3f1e0d28ab3f1c4719b02e65d8fa03b1c77e9402f5a6d8b9e01c2d3f4a5b6";

test("a key is read in groups of four", () => {
  expect(grouped(KEY, false)).toBe("8ab3 f1e0 d28a b3f1");
  expect(grouped(KEY, true).replaceAll(" ", "")).toBe(KEY);
  expect(grouped("", false)).toBe("");
});
