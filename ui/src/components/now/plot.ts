/** How uPlot draws a chart: GoGrid's part, everything else's part, what is allowed, and the donor's limit. */
import uPlot from "uplot";
import type { Columns, DrawnGap } from "../../lib/history";
import { drawGap } from "./gap";

export interface Frame {
  /** Seconds from the left edge to the newest point. */
  span: number;
  /** The value at the upper edge. */
  top: number;
  /** Formats a value for the axis. */
  label: (value: number) => string;
  gaps: readonly DrawnGap[];
}

/** The key of the synchronized cursor: all charts show the pointer at the same time. */
const SYNC = "now";

/** The value of a design token, for the canvas. */
function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function rem(lengths: number): number {
  return lengths * parseFloat(getComputedStyle(document.documentElement).fontSize);
}

export function data({ seconds, total, ours, limit, allowed }: Columns): uPlot.AlignedData {
  return [seconds, total, ours, limit, allowed];
}

/** uPlot calls `frame` at every drawing, so that one plot serves all ranges. */
export function options(frame: () => Frame, hover: (index: number | null) => void): uPlot.Options {
  const line = (stroke: string, width: number, more: Partial<uPlot.Series> = {}): uPlot.Series => ({
    stroke: token(stroke),
    width,
    spanGaps: false,
    points: { show: false },
    ...more,
  });
  return {
    width: 100,
    height: 100,
    padding: [1, 1, 1, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { show: false },
      sync: { key: SYNC },
    },
    scales: {
      x: { time: false, range: () => [-frame().span, 0] },
      y: { range: () => [0, frame().top] },
    },
    axes: [
      { show: false },
      {
        // The labels are beside the plot, in a column that is as wide as they are.
        size: 0,
        ticks: { show: false },
        grid: { stroke: token("--line"), width: 1 },
        splits: () => [0, frame().top / 2, frame().top],
        values: (_, values) => values.map(() => ""),
      },
    ],
    series: [
      {},
      line("--others", 1.25),
      line("--ours", 1.75, { fill: token("--ours-soft") }),
      // The donor's own limit lies under what holds now, and shows where that is less.
      line("--limit", 1, { dash: [1, rem(0.25)], alpha: 0.75 }),
      line("--limit", 1.5, { dash: [rem(0.35), rem(0.25)] }),
    ],
    bands: [{ series: [1, 2], fill: token("--others-soft") }],
    hooks: {
      setCursor: [({ cursor }) => hover(cursor.idx ?? null)],
      drawClear: [(plot) => frame().gaps.forEach((gap) => drawGap(plot, gap, token))],
    },
  };
}

export { uPlot };
