import { expect, test } from "vitest";
import { byDay, search } from "./search";
import type { Entry } from "./timeline";
import { THIN } from "./units";

const at = (iso: string) => new Date(iso).getTime();
const entries: Entry[] = [
  { at: at("2026-11-25T14:00:00"), what: `Slowed to 10${THIN}% of the CPU`, why: "You are using the computer" },
  { at: at("2026-11-25T09:00:00"), what: "Stopped", why: "blender is running" },
  { at: at("2026-11-24T23:59:00"), what: "GoGrid ended", why: null },
];
const found = (sought: string) => search(entries, sought).map(({ what }) => what.replaceAll(THIN, " "));

test("a search finds what has all of its words, in any case", () => {
  expect(found("")).toHaveLength(3);
  expect(found("  BLENDER ")).toEqual(["Stopped"]);
  expect(found("cpu using")).toEqual(["Slowed to 10 % of the CPU"]);
  expect(found("cpu blender")).toEqual([]);
});

test("a figure is found as it is typed, and a day by its date", () => {
  expect(found("10 %")).toEqual(["Slowed to 10 % of the CPU"]);
  expect(found("24 november")).toEqual(["GoGrid ended"]);
  expect(found("wed 25 nov")).toHaveLength(2);
});

test("entries are told by local days", () => {
  expect(byDay(entries).map(({ date, entries }) => [date, entries.length])).toEqual([
    ["2026-11-25", 2],
    ["2026-11-24", 1],
  ]);
  expect(byDay([])).toEqual([]);
});
