import { expect, test } from "vitest";
import type { Status } from "../../api/types";
import { status, withLimits } from "../../testing";
import { settingOf } from "../settings";
import { THIN } from "../units";
import { blindness, missing } from "./blind";
import { example } from "./example";
import { groups } from "./layout";
import { shown, written } from "./shown";
import { presetLines, type Preset } from "./preset";
import { nearest, rank, steps, type SliderKey } from "./steps";
import { between, cellAt, move } from "./week";

const { machine } = status();
const plain = (text: string) => text.replaceAll(THIN, " ");
const keys = (of: Status) => groups(of).flatMap(({ rows }) => rows.map(({ row }) => row.key));

test.each<[SliderKey, string, string]>([
  ["cpu", "25%", "25%"],
  ["cpu", "27%", "25%"],
  ["gpu-memory", "6GiB", "50%"],
  ["network", "unlimited", "unlimited"],
  ["network", "3MB/s", "2MB/s"],
  ["idle-after", "4m", "3m"],
  ["max-temperature", "off", "off"],
  ["cpu-threads", "all", "all"],
  ["cpu-threads", "3", "3"],
])("%s = %s is shown at %s", (key, value, stop) => {
  const stops = steps(key, machine, null);
  expect(stops[nearest(key, value, stops, machine)]).toBe(stop);
});

test("every slider rises, so that its middle is in its middle", () => {
  const sliders: SliderKey[] = [
    "cpu",
    "cpu-threads",
    "cpu-in-use",
    "gpu-memory",
    "disk",
    "network",
    "idle-after",
    "max-temperature",
    "others-cpu",
  ];
  for (const key of sliders) {
    const places = steps(key, machine, null).map((stop) => rank(key, stop, machine) ?? Number.NaN);
    for (const [at, place] of places.entries()) expect(place, key).toBeGreaterThan(places[at - 1] ?? -1);
  }
});

test("a slider ends at its bound, even between two stops", () => {
  expect(steps("cpu", machine, "42%").slice(-2)).toEqual(["40%", "42%"]);
  expect(steps("max-temperature", machine, "80°C").at(-1)).toBe("80°C");
  expect(steps("others-gpu", machine, "off").at(-1)).toBe("off");
  // Here less is laxer.
  expect(steps("idle-after", machine, "5m").slice(0, 2)).toEqual(["5m", "10m"]);
});

test("limits of a GPU are there where one is lent, hours where they count, hidden ones nowhere", () => {
  expect(keys(status())).toContain("gpu-memory");
  expect(keys(status({}, "laptop"))).not.toContain("gpu-memory");
  expect(keys(status())).not.toContain("schedule");
  expect(keys(withLimits({ when: "schedule" }))).toContain("schedule");
  expect(keys(withLimits({ when: "idle-in-schedule" }))).toContain("schedule");
  expect(keys(status({}, "managed"))).not.toContain("network");
});

test("every limit of the worker has its place, but for preset and pause", () => {
  const all = withLimits({ when: "schedule" });
  const expected = all.limits.map(({ key }) => key).filter((key) => key !== "preset" && key !== "pause");
  expect(keys(all).sort()).toEqual(expected.sort());
});

test.each([
  ["cpu", { cpu: "25%" }, "2 of 8 cores' worth of time, while nobody needs the computer."],
  ["cpu-in-use", { "cpu-in-use": "0%" }, "Nothing is computed while you use the computer."],
  ["cpu-in-use", { cpu: "20%", "cpu-in-use": "50%" }, "Never more than the limit above: 20 %."],
  ["gpu", { gpu: "60%" }, "600 ms of each second, in slices short enough to keep the desktop smooth."],
  ["gpu-memory", { "gpu-memory": "50%" }, "6 of 12 GiB. 6 GiB are never touched."],
  ["gpu-memory", { "gpu-memory": "60% up to 4GiB" }, "4 of 12 GiB. 8 GiB are never touched."],
  ["gpu-memory", { "gpu-memory": "0B" }, "No model can be loaded."],
  ["disk", { disk: "20%" }, "102 of 512 GB, for models. What was used longest ago is deleted first."],
  ["network", { network: "10MB/s" }, "Fetching a model of 4 GB takes about 7 minutes."],
  ["network", { network: "unlimited" }, "Models are fetched as fast as the line allows."],
  ["idle-after", { "idle-after": "90s" }, "After 1.5 minutes without keyboard or mouse you count as away."],
  [
    "others-cpu",
    { "others-cpu": "25%" },
    "When other programs use more than 2 of 8 cores, GoGrid goes down to 0.8 of 8 cores.",
  ],
  ["others-gpu", { "others-gpu": "off" }, "Other programs' load is ignored."],
  ["stop-for", { "stop-for": "blender, zoom" }, "Stops while blender or zoom runs."],
  ["schedule", { schedule: "sat-sun" }, "48 hours a week."],
  ["when", { when: "idle", "idle-after": "3m" }, "Starts 3 minutes after the last key or mouse movement."],
  [
    "when",
    { when: "schedule" },
    "Only in the hours painted below; while you use the computer at most 15 % of the GPU.",
  ],
  [
    "when",
    { when: "idle-in-schedule", "idle-after": "3m" },
    "Only in the hours painted below, and 3 minutes after the last key or mouse movement.",
  ],
])("%s with %j means something here", (key, values, text) => {
  const of = withLimits(values);
  expect(plain(example(key, (key) => settingOf(of, key)?.value ?? "", of))).toBe(text);
});

test("a value is shown in real units", () => {
  expect(plain(shown("gpu-memory", "60%", machine))).toBe("7.2 of 12 GiB");
  expect(plain(shown("cpu", "25%", machine))).toBe("25 %");
  expect(shown("idle-after", "3m", machine)).toBe("3 minutes");
  expect(shown("network", "unlimited", machine)).toBe("unlimited");
  expect(plain(shown("gpu-memory", "60% up to 4GiB", machine))).toBe("4 of 12 GiB");
});

test.each([
  ["cpu", "25%", "25 %"],
  ["gpu-memory", "60% up to 4GiB", "60 % up to 4 GiB"],
  ["network", "10MB/s", "10 MB/s"],
  ["max-temperature", "85°C", "85 °C"],
  ["idle-after", "1h 30m", "1 h 30 min"],
  ["cpu-threads", "all", "all"],
  ["cpu-threads", "4", "4"],
])("%s = %s stands in its field with spaces", (key, value, text) => {
  expect(plain(written(key, value))).toBe(text);
});

test("a rule that cannot see is named, with what turns it off", () => {
  const blind = status({}, "blind");
  expect(blindness("full-screen", blind)).toEqual({
    signal: "full_screen",
    why: "the X server does not answer",
    off: { key: "full-screen", value: "ignore" },
  });
  expect(blindness("max-temperature", blind)?.off).toEqual({ key: "max-temperature", value: "off" });
  expect(blindness("others-cpu", blind)).toBeNull();
  expect(blindness("full-screen", withLimits({ "full-screen": "ignore" }, {}, "blind"))).toBeNull();
  expect(blindness("full-screen", status())).toBeNull();
});

test("who cannot be seen to be away is never waited for in vain without a word", () => {
  expect(blindness("idle-after", status({}, "blind"))?.off).toBeNull();
  expect(blindness("idle-after", withLimits({ when: "idle" }, {}, "blind"))?.off).toEqual({
    key: "when",
    value: "always",
  });
  expect(blindness("idle-after", withLimits({ when: "idle-in-schedule" }, {}, "blind"))?.off).toEqual({
    key: "when",
    value: "schedule",
  });
});

test("a rule that is not the donor's to turn off is only explained", () => {
  const blind = status({}, "blind");
  const limits = blind.limits.map((setting) =>
    setting.key === "full-screen" ? { ...setting, managed: { bound: "stop", hidden: false } } : setting,
  );
  expect(blindness("full-screen", { ...blind, limits })).toMatchObject({ signal: "full_screen", off: null });
});

test("a rule whose signal the machine lacks is off, and not one that cannot see", () => {
  const bare = status({}, "bare");
  expect(settingOf(bare, "max-temperature")?.no_signal).toBe("the machine shows no temperature sensor");
  expect(settingOf(bare, "idle-after")?.no_signal).toBeNull();
  expect([blindness("max-temperature", bare), blindness("full-screen", bare)]).toEqual([null, null]);
  expect(missing(bare)).toEqual(["temperature", "full_screen"]);
  expect(missing(status({}, "blind"))).toEqual([]);
});

test("a rule that a policy requires is one that cannot see", () => {
  const bare = status({}, "bare");
  const limits = bare.limits.map((setting) => ({ ...setting, no_signal: null }));
  expect(blindness("max-temperature", { ...bare, limits })).toMatchObject({ signal: "temperature" });
});

test("the card of a preset tells all that it does, and nothing that it cannot do", () => {
  const lines = (preset: Preset, of: Status) => presetLines(preset, of).map(plain);
  expect(lines("balanced", status({}, "laptop"))).toEqual([
    "Up to 4 of 8 cores",
    "0.8 of 8 cores while you use it",
    "8 of 16 GiB of memory",
    "Stops on battery, above 85 °C or in full screen",
    "Fetches models at 10 MB/s at most",
  ]);
  expect(lines("full", status({}, "laptop")).slice(3, 5)).toEqual([
    "Stops above 95 °C",
    "Also works on battery and in full screen",
  ]);
  expect(lines("full", status({}, "bare"))[3]).toBe("Nothing but you stops it");
  expect(lines("quiet", status({}, "bare"))[3]).toBe("Stops on battery");
  expect(lines("quiet", status())[1]).toBe("Nothing until you are away for 10 minutes");
  expect(lines("balanced", status({}, "welcome-bare"))[1]).toBe("0.8 of 8 cores while other programs are busy");
  expect(lines("quiet", status({}, "welcome-bare"))[1]).toMatch(/^Never works here/);
});

test("the week's cursor stays inside", () => {
  const key = (key: string, ctrlKey = false) => ({ key, ctrlKey });
  expect(move([0, 0], key("ArrowLeft"))).toEqual([0, 0]);
  expect(move([6, 95], key("ArrowDown"))).toEqual([6, 95]);
  expect(move([2, 40], key("ArrowRight", true))).toEqual([2, 44]);
  expect(move([2, 40], key("End"))).toEqual([2, 95]);
  expect(move([2, 40], key("x"))).toBeNull();
  expect(between([1, 5], [2, 9], [0, 4])).toBe(true);
  expect(between([1, 3], [2, 9], [0, 4])).toBe(false);
  const box = { left: 100, top: 50, width: 960, height: 70 };
  expect(cellAt(100, 50, box)).toEqual([0, 0]);
  expect(cellAt(589.9, 85, box)).toEqual([3, 48]);
  expect(cellAt(5000, -5, box)).toEqual([0, 95]);
});
