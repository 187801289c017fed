/** What happened on the made-up machine on the days before, and while it was off. */
import type { Event, EventKind, Gap } from "../../api/types";

const HOUR_MS = 3_600_000;
const DAYS = 6;

/** The computer was off at lunch, and it was killed once at night. */
const OFF = [
  { from: 20.1, to: 18.9, unexpected: true },
  { from: 8.4, to: 7.2, unexpected: false },
] as const;

/** The times before `end` in which the machine was off. */
export function offTimes(end: number): Gap[] {
  return OFF.map(({ from, to, unexpected }) => ({
    from_ms: end - from * HOUR_MS,
    to_ms: end - to * HOUR_MS,
    unexpected,
  }));
}

export function offEvents(end: number): Event[] {
  return offTimes(end).flatMap(({ from_ms, to_ms, unexpected }): Event[] => [
    { at_ms: from_ms, what: unexpected ? { event: "ended_unexpectedly" } : { event: "ended", problem: null } },
    { at_ms: to_ms, what: { event: "started" } },
  ]);
}

/** A day of an office computer, for each day before yesterday. */
export function pastDays(end: number, gpu: boolean): Event[] {
  const allowed = (cpu: number, kind: string, reason: string): EventKind => {
    const state = cpu === 0 ? "stopped" : cpu < 500 ? "throttled" : "working";
    return { event: "allowance", state, cpu, gpu: gpu ? Math.round(cpu * 1.2) : null, kind, reason };
  };
  const day: [hour: number, what: EventKind][] = [
    [-16.6, { event: "started" }],
    [-16.59, { event: "connected" }],
    [-15.2, allowed(100, "in_use", "You are using the computer")],
    [-13.4, allowed(0, "program", "blender is running")],
    [-12.1, allowed(100, "others_cpu", "Other programs use 41 % of the CPU")],
    [-10.9, allowed(500, "free", "Nobody needs the computer")],
    [-8.8, { event: "ended", problem: null }],
  ];
  return Array.from({ length: DAYS }, (_, index) => end - (DAYS - index + 1) * 24 * HOUR_MS).flatMap((noon) =>
    day.map(([hour, what]) => ({ at_ms: noon + hour * HOUR_MS, what })),
  );
}
