/** A worker's history as the columns that charts draw. */
import type { History, Point, Range, Status } from "../api/types";
import { words } from "../words";

export type Chart = "gpu" | "memory" | "cpu" | "tokens";

/** Seconds that a range covers. */
export const SPAN: Record<Range, number> = { minute: 60, ten_minutes: 600, day: 86_400 };
/** The polling interval of each range in milliseconds, about the interval of new points. */
export const EVERY_MS: Record<Range, number> = { minute: 1000, ten_minutes: 5000, day: 60_000 };

/** The columns of one chart, all of the same length. Null is a gap, or nothing to draw. */
export interface Columns {
  /** Seconds before the newest point, as negative numbers. */
  seconds: number[];
  ours: (number | null)[];
  /** The sum of ours and everything else's. */
  total: (number | null)[];
  /** The donor's limit. */
  limit: (number | null)[];
  /** What was allowed: the limit or less. */
  allowed: (number | null)[];
  /** The time of each point in milliseconds since 1970; null in a gap. */
  at: (number | null)[];
}

type Value = number | null;
type Values = [ours: Value, others: Value, limit: Value, allowed: Value];

const PICK: Record<Chart, (point: Point) => Values> = {
  cpu: (point) => [point.cpu, point.cpu_others, point.cpu_limit, point.cpu_allowed],
  gpu: (point) => [point.gpu, point.gpu_others, point.gpu_limit, point.gpu_allowed],
  memory: (point) => [point.memory, point.memory_others, point.memory_limit, point.memory_allowed],
  tokens: (point) => [point.tokens_per_second, null, null, null],
};

/** Points further apart than this many steps have a gap: no worker ran. Below that, a busy machine shifted a point. */
const GAP_STEPS = 1.75;

export function columns(history: History, chart: Chart): Columns {
  const all: Columns = { seconds: [], ours: [], total: [], limit: [], allowed: [], at: [] };
  const newest = history.points.at(-1)?.at_ms ?? 0;
  let before: number | null = null;
  for (const point of history.points) {
    const seconds = (point.at_ms - newest) / 1000;
    if (before !== null && point.at_ms - before > GAP_STEPS * history.step_ms) {
      push(all, seconds - history.step_ms / 1000, [null, null, null, null], null);
    }
    push(all, seconds, PICK[chart](point), point.at_ms);
    before = point.at_ms;
  }
  return all;
}

function push(columns: Columns, seconds: number, [ours, others, limit, allowed]: Values, at: number | null) {
  columns.seconds.push(seconds);
  columns.ours.push(ours);
  columns.total.push(ours === null || others === null ? null : ours + others);
  columns.limit.push(limit);
  columns.allowed.push(allowed);
  columns.at.push(at);
}

/** A time in which GoGrid did not run, in seconds before the newest point. */
export interface DrawnGap {
  from: number;
  to: number;
  /** The second text is for where the first does not fit. */
  says: { long: string; short: string };
}

export function gaps({ points, gaps }: History): DrawnGap[] {
  const newest = points.at(-1)?.at_ms;
  if (newest === undefined) return [];
  return gaps.map(({ from_ms, to_ms, unexpected }) => ({
    from: (from_ms - newest) / 1000,
    to: (to_ms - newest) / 1000,
    says: unexpected ? words.now.gap.unexpected : words.now.gap.ended,
  }));
}

/** The number of drawn points of ours. */
export function drawn(columns: Columns): number {
  return columns.ours.filter((value) => value !== null).length;
}

/** The top of a chart: the whole device if that is known, otherwise a round number above all values. */
export function top(chart: Chart, status: Status, columns: Columns): number {
  if (chart === "cpu" || chart === "gpu") return 1;
  const whole = chart === "memory" ? (status.machine.gpu_memory ?? status.machine.memory) : null;
  return whole ?? roundAbove(Math.max(0, ...columns.ours.map((value) => value ?? 0), ...known(columns.limit)));
}

function known(values: (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

/** The lowest top, in tokens per second. Below it noise would look like work. */
const LEAST_TOP = 10;

/** 10, 20, 50, 100, … with a margin above the highest value. */
export function roundAbove(highest: number): number {
  const wanted = Math.max(LEAST_TOP, highest * 1.08);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return ([1, 2, 5, 10].find((step) => step * power >= wanted) ?? 10) * power;
}
