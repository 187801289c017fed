import { expect, test } from "vitest";
import type { History, Point } from "../api/types";
import { columns, drawn, gaps, roundAbove, top } from "./history";
import { status } from "../testing";

function point(at_ms: number, values: Partial<Point> = {}): Point {
  const nothing = {
    gpu: null,
    gpu_others: null,
    gpu_limit: null,
    memory: null,
    memory_others: null,
    memory_limit: null,
    gpu_allowed: null,
    memory_allowed: null,
  };
  return {
    at_ms,
    cpu: 0.1,
    cpu_others: 0.2,
    cpu_limit: 0.5,
    cpu_allowed: 0.1,
    ...nothing,
    tokens_per_second: 3,
    ...values,
  };
}

const of = (points: Point[], step_ms = 1000): History => ({ step_ms, points, gaps: [] });

test("ours lies below everything else's, both before the newest point", () => {
  const drawn = columns(of([point(5000), point(6000, { cpu: 0.3 })]), "cpu");
  expect(drawn.seconds).toEqual([-1, 0]);
  expect(drawn.ours).toEqual([0.1, 0.3]);
  expect(drawn.total.map((value) => value?.toFixed(2))).toEqual(["0.30", "0.50"]);
  expect(drawn.limit).toEqual([0.5, 0.5]);
  expect(drawn.allowed).toEqual([0.1, 0.1]);
});

test("where the worker did not run there is a gap, and no point", () => {
  const history = columns(of([point(1000), point(2000), point(9000)]), "cpu");
  expect(history.seconds).toEqual([-8, -7, -1, 0]);
  expect(history.ours).toEqual([0.1, 0.1, null, 0.1]);
  expect(drawn(history)).toBe(3);
});

test("the chart says why there are no points", () => {
  const history = of([point(1000), point(2000), point(9000)]);
  const off = [
    { from_ms: 500, to_ms: 900, unexpected: true },
    { from_ms: 2000, to_ms: 8500, unexpected: false },
  ];
  expect(gaps({ ...history, gaps: off })).toEqual([
    { from: -8.5, to: -8.1, says: { long: "ended unexpectedly", short: "cut off" } },
    { from: -7, to: -0.5, says: { long: "not running", short: "not running" } },
  ]);
  expect(gaps({ ...of([]), gaps: off })).toEqual([]);
});

test("a point that comes a little late leaves no gap", () => {
  expect(columns(of([point(1000), point(2600)]), "cpu").ours).not.toContain(null);
});

test("what is not known is a gap, not a zero", () => {
  const history = columns(of([point(1000, { cpu: null }), point(2000, { cpu_others: null })]), "cpu");
  expect(history.ours).toEqual([null, 0.1]);
  expect(history.total).toEqual([null, null]);
  expect(drawn(history)).toBe(1);
});

test("no history is no column", () => expect(drawn(columns(of([]), "gpu"))).toBe(0));

test("loads are drawn up to the whole device, memory up to what there is", () => {
  const nothing = columns(of([]), "cpu");
  expect(top("cpu", status(), nothing)).toBe(1);
  expect(top("memory", status(), nothing)).toBe(12 * 2 ** 30);
  expect(top("tokens", status(), columns(of([point(0, { tokens_per_second: 47 })]), "tokens"))).toBe(100);
});

test.each([
  [0, 10],
  [9.5, 20],
  [18, 20],
  [45, 50],
  [480, 1000],
])("above %d lies %d", (highest, round) => expect(roundAbove(highest)).toBe(round));
