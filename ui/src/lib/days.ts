/** The record of days: sums, and bars by day or by week. */
import type { Day } from "../api/types";
import { words } from "../words";
import { addDays, dayParts, noonOf, shortDay } from "./time";

export type Metric = "tokens" | "active" | "energy";
export type Span = "day" | "week";

/** The bars of a chart: two weeks, or about a quarter of a year. */
const BARS: Record<Span, number> = { day: 14, week: 13 };

export interface Sum {
  tokens: number;
  activeSeconds: number;
  energyWh: number;
  /** The part of the energy that meters told. */
  meteredWh: number;
  runningSeconds: number;
}

export interface Bar extends Sum {
  /** Its only or first day. */
  date: string;
  /** For people: `Wed 25 Nov`, `Week of Mon 23 Nov`. */
  name: string;
  /** The label below the bar, in two short lines: weekday and day, or day and month. */
  mark: readonly [string, string];
}

export function sum(days: readonly Day[]): Sum {
  return days.reduce(
    (all, day) => ({
      tokens: all.tokens + day.tokens,
      activeSeconds: all.activeSeconds + day.active_seconds,
      energyWh: all.energyWh + day.energy_wh,
      meteredWh: all.meteredWh + day.metered_wh,
      runningSeconds: all.runningSeconds + day.running_seconds,
    }),
    { tokens: 0, activeSeconds: 0, energyWh: 0, meteredWh: 0, runningSeconds: 0 },
  );
}

/** The Monday of a date's week. */
export function mondayOf(date: string): string {
  const weekday = (new Date(noonOf(date)).getDay() + 6) % 7;
  return addDays(date, -weekday);
}

/** Days from one date to another, both included. */
export function between(days: readonly Day[], first: string, last: string): Day[] {
  return days.filter(({ date }) => date >= first && date <= last);
}

/** The newest bars, oldest first. A day without work is an empty bar. */
export function bars(days: readonly Day[], span: Span, today: string): Bar[] {
  const length = span === "day" ? 1 : 7;
  const newest = span === "day" ? today : mondayOf(today);
  return Array.from({ length: BARS[span] }, (_, index) => {
    const date = addDays(newest, (index + 1 - BARS[span]) * length);
    const name = shortDay(noonOf(date));
    const { weekday, day, month } = dayParts(noonOf(date));
    return {
      date,
      mark: span === "day" ? [weekday, day] : [day, month],
      name: span === "day" ? name : words.contribution.weekOf(name),
      ...sum(between(days, date, addDays(date, length - 1))),
    };
  });
}

/** The top of an axis: a round number at or above the highest value, with a round half. */
export function axisTop(highest: number): number {
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return ([1, 2, 3, 4, 6, 8].find((step) => step * power >= highest) ?? 10) * power;
}

export function valueOf(bar: Sum, metric: Metric): number {
  return { tokens: bar.tokens, active: bar.activeSeconds / 3600, energy: bar.energyWh }[metric];
}
