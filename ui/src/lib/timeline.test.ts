import { expect, test } from "vitest";
import type { Event, State } from "../api/types";
import { fitting, timeline } from "./timeline";
import { THIN } from "./units";

function allowance(at_ms: number, state: State, cpu: number, kind: string, gpu: number | null = null): Event {
  return { at_ms, what: { event: "allowance", state, cpu, gpu, kind, reason: `because of ${kind}` } };
}

const told = (events: Event[]) => timeline(events).map(({ what }) => what.replaceAll(THIN, " "));

test("the newest comes first, with where it went", () => {
  const events = [
    allowance(1, "working", 500, "free"),
    allowance(2, "throttled", 100, "in_use"),
    allowance(3, "throttled", 100, "others_cpu"),
    allowance(4, "stopped", 0, "program"),
    allowance(5, "working", 500, "free"),
    allowance(6, "paused", 0, "paused"),
  ];
  expect(told(events)).toEqual([
    "Paused",
    "Raised to 50 % of the CPU",
    "Stopped",
    "Stays at 10 % of the CPU",
    "Slowed to 10 % of the CPU",
    "Set to 50 % of the CPU",
  ]);
  expect(timeline(events)[0]).toMatchObject({ at: 6, why: "because of paused" });
});

test("where a GPU is lent, it is what counts", () => {
  const events = [allowance(1, "working", 500, "free", 600), allowance(2, "throttled", 500, "in_use", 150)];
  expect(told(events)[0]).toBe("Slowed to 15 % of the GPU");
});

test("a climb is one entry with its end, unless something lies between", () => {
  const climb = (at: number, cpu: number) => allowance(at, "throttled", cpu, "climbing");
  const loaded: Event = { at_ms: 4, what: { event: "loaded", model: "demo", layers: [0, 8], seconds: 0.84 } };
  expect(told([allowance(1, "throttled", 100, "in_use"), climb(2, 200), climb(3, 300)])).toHaveLength(2);
  expect(told([climb(2, 200), climb(3, 300), loaded, climb(5, 400), climb(6, 500)])).toEqual([
    "Raised to 50 % of the CPU",
    "Loaded a part of demo in 0.8 s",
    "Raised to 30 % of the CPU",
  ]);
});

test("what took hardly any time is not told as nothing", () => {
  const loaded = (seconds: number): Event => ({
    at_ms: 1,
    what: { event: "loaded", model: "demo", layers: [0, 8], seconds },
  });
  expect(told([loaded(0.012)])[0]).toMatch(/in less than 0\.1 s$/);
  expect(told([loaded(0.06)])[0]).toMatch(/in 0\.1 s$/);
  expect(told([loaded(42.4)])[0]).toMatch(/in 42 s$/);
});

test("a larger window shows more of it", () => {
  expect([fitting(900, 640), fitting(1300, 900), fitting(1920, 1080)]).toEqual([4, 6, 12]);
});

test("what else happens is told too", () => {
  const events: Event[] = [
    { at_ms: 1, what: { event: "joined" } },
    { at_ms: 2, what: { event: "unloaded", model: "demo", layers: [3, 4] } },
    { at_ms: 3, what: { event: "revoked", reason: "the key was revoked" } },
  ];
  expect(timeline(events)).toEqual([
    { at: 3, what: "The grid does not let this computer in any more", why: "the key was revoked" },
    { at: 2, what: "Gave back a part of demo", why: null },
    { at: 1, what: "Joined a grid", why: null },
  ]);
});

test("a start says how long nothing ran, and an end why", () => {
  const minutes = (count: number) => count * 60_000;
  const events: Event[] = [
    { at_ms: 0, what: { event: "started" } },
    allowance(1, "working", 500, "free"),
    { at_ms: minutes(1), what: { event: "ended", problem: null } },
    { at_ms: minutes(31), what: { event: "started" } },
    allowance(minutes(31) + 1, "working", 250, "free"),
    { at_ms: minutes(40), what: { event: "ended_unexpectedly" } },
    { at_ms: minutes(40) + 5, what: { event: "started" } },
    { at_ms: minutes(41), what: { event: "ended", problem: "the computing thread panicked" } },
  ];
  expect(timeline(events).map(({ what, why }) => [what.replaceAll(THIN, " "), why?.split(":")[0]])).toEqual([
    ["GoGrid ended because of a problem", "the computing thread panicked"],
    ["GoGrid started", undefined],
    [
      "GoGrid ended unexpectedly",
      "It was killed, it crashed, or the computer lost power. It was last seen at this time",
    ],
    ["Set to 25 % of the CPU", "because of free"],
    ["GoGrid started", "It had not run for 30 minutes"],
    ["GoGrid ended", undefined],
    ["Set to 50 % of the CPU", "because of free"],
    ["GoGrid started", undefined],
  ]);
});

test("limits that could not be read say why, and where the file is kept", () => {
  const reset: Event = {
    at_ms: 1,
    what: { event: "limits_reset", reason: "cpu = 400 is out of range", kept: "limits.old" },
  };
  expect(timeline([reset])[0]).toMatchObject({
    what: "Your limits could not be read, so those of the preset hold",
    why: "cpu = 400 is out of range. The file was kept as limits.old",
  });
});
