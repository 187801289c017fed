import { expect, test } from "vitest";
import bar from "../../../icons/src/tray/bar.css?raw";
import tokens from "./tokens.css?raw";

/** A design token's value. */
const token = (name: string) => new RegExp(`--${name}: (#[0-9a-f]{6});`).exec(tokens)?.[1];
/** The colour of the tray's icon of a mark. */
const icon = (mark: string) =>
  [...bar.matchAll(/^([^{]*)\{[^}]*?fill: (#[0-9a-f]{6})/gm)].find(([, of = ""]) =>
    mark === "" ? of.trim().split("\n").at(-1) === "path" : of.includes(`#${mark} path`),
  )?.[2];

test.each([
  ["mark-off", ""],
  ["mark-on", "idle"],
  ["mark-on", "working"],
  ["mark-connecting", "connecting"],
  ["mark-throttled", "throttled"],
  ["mark-error", "error"],
])("--%s is the colour of the tray's icon", (name, mark) => {
  expect(token(name)).toMatch(/^#/);
  expect(token(name)).toBe(icon(mark));
});
