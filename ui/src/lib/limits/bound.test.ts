import { expect, test } from "vitest";
import { status } from "../../testing";
import { settingOf } from "../settings";
import { THIN } from "../units";
import { allows, mayBe } from "./bound";
import { boundText } from "./shown";

const { machine } = status();

/** A bound, what is as strict, and what is laxer. */
test.each([
  ["cpu", "40%", ["40%", "12.5%"], ["40.1%", "100%"]],
  ["cpu-threads", "4", ["4", "1"], ["5", "all"]],
  ["gpu-memory", "6GiB", ["6GiB", "50%", "60% up to 6GiB"], ["7GiB", "60%"]],
  ["network", "1MB/s", ["500kB/s"], ["unlimited", "2MB/s"]],
  ["max-temperature", "80°C", ["75°C"], ["off", "85°C"]],
  ["idle-after", "10m", ["10m", "1h"], ["3m"]],
  ["when", "idle", ["idle", "idle-in-schedule"], ["always", "schedule"]],
  ["when", "schedule", ["schedule", "idle-in-schedule"], ["always", "idle"]],
  ["when", "always", ["always", "idle", "schedule", "idle-in-schedule"], []],
  ["schedule", "mon-fri", ["mon 08:00-12:00", "none"], ["sat", "mon-sun"]],
  ["on-battery", "false", ["false"], ["true"]],
  ["on-battery", "true", ["false", "true"], []],
  ["full-screen", "stop", ["stop"], ["ignore"]],
  ["stop-for", "zoom", ["zoom", "blender, Zoom"], ["none", "blender"]],
])("%s within %s", (key, bound, stricter, laxer) => {
  for (const value of stricter) expect(allows(bound, key, value, machine), value).toBe(true);
  for (const value of laxer) expect(allows(bound, key, value, machine), value).toBe(false);
});

test("amounts of different kinds are the worker's to judge where the whole is not known", () => {
  const unknown = { ...machine, gpu_memory: null };
  expect(allows("6GiB", "gpu-memory", "90%", unknown)).toBe(true);
  expect(allows("50%", "gpu-memory", "90%", unknown)).toBe(false);
});

test("only what is managed is bounded", () => {
  expect(mayBe(status(), "cpu", "100%")).toBe(true);
  expect(mayBe(status({}, "managed"), "cpu", "100%")).toBe(false);
});

test("what holds and what the preset means lie within the bounds", () => {
  const managed = status({}, "managed");
  for (const { key, value, default: preset } of managed.limits) {
    expect(mayBe(managed, key, value), key).toBe(true);
    expect(mayBe(managed, key, preset), key).toBe(true);
  }
  expect(settingOf(managed, "when")?.value).toBe("schedule");
  expect(settingOf(managed, "schedule")?.value).toBe("mon-fri 17:00-09:00, sat-sun");
  expect(settingOf(managed, "stop-for")?.value).toBe("blender, zoom");
});

test.each([
  ["cpu", "40%", "at most 40 %"],
  ["gpu-memory", "6GiB", "at most 6 of 12 GiB"],
  ["idle-after", "5m", "5 minutes or longer"],
  ["on-battery", "false", "set to no"],
  ["full-screen", "stop", "set to yes"],
  ["full-screen", "ignore", "yours to choose"],
  ["when", "idle", "only while you are away"],
  ["schedule", "sat-sun", "only within sat-sun"],
  ["stop-for", "zoom, teams", "always stops for zoom and teams"],
])("the bound of %s, %s, in words", (key, bound, text) => {
  expect(boundText(key, bound, machine).replaceAll(THIN, " ")).toBe(text);
});
