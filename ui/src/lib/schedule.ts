/**
 * The hours of a week as a grid of quarters of an hour, and in the worker's form: `mon-fri 18:00-08:00, sat-sun`.
 * Hours that end before they begin end on the next day. A day without hours is a whole day.
 */
import { NONE } from "./value";

export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
/** Quarters of an hour in a day. */
export const QUARTERS = 96;

/** For each day from Monday on, whether each quarter from midnight on is lent. */
export type Week = readonly (readonly boolean[])[];

interface Hours {
  start: number;
  end: number;
}

const WHOLE: Hours = { start: 0, end: QUARTERS };

export function emptyWeek(): boolean[][] {
  return DAYS.map(() => Array<boolean>(QUARTERS).fill(false));
}

/** The week with the block between two corners set. The corners may be in any order. */
export function paint(week: Week, from: [number, number], to: [number, number], lend: boolean): boolean[][] {
  const [firstDay, lastDay] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
  const [first, last] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
  return week.map((quarters, day) =>
    quarters.map((was, quarter) =>
      day >= firstDay && day <= lastDay && quarter >= first && quarter <= last ? lend : was,
    ),
  );
}

/** The hours of a week that lie within those of another. */
export function within(week: Week, bound: Week): boolean[][] {
  return week.map((quarters, day) => quarters.map((lent, quarter) => lent && (bound[day]?.[quarter] ?? false)));
}

/** Hours lent in a week. */
export function hoursOf(week: Week): number {
  return week.flat().filter(Boolean).length / 4;
}

/** A quarter as a time: `18:15`. */
export function timeOf(quarter: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(Math.floor(quarter / 4))}:${two((quarter % 4) * 15)}`;
}

/** The week of a text; null if it is no schedule. */
export function parseSchedule(text: string): boolean[][] | null {
  const week = emptyWeek();
  if (text.trim() === NONE) return week;
  for (const entry of text.split(",")) {
    const match = /^([a-z]{3})(?:-([a-z]{3}))?(?:\s+(\S+?)\s*-\s*(\S+))?$/i.exec(entry.trim());
    const [first, last] = [dayOf(match?.[1]), dayOf(match?.[2] ?? match?.[1])];
    const hours = match?.[3] === undefined ? WHOLE : hoursFrom(match[3], match[4] ?? "");
    if (first < 0 || last < 0 || hours === null) return null;
    for (let day = first; ; day = (day + 1) % 7) {
      fill(week, day, hours);
      if (day === last) break;
    }
  }
  return week;
}

function dayOf(name: string | undefined): number {
  return DAYS.findIndex((day) => day === name?.toLowerCase());
}

function hoursFrom(start: string, end: string): Hours | null {
  const hours = { start: quarterOf(start), end: quarterOf(end) };
  const sound = hours.start >= 0 && hours.end >= 0 && hours.start !== hours.end && hours.start < QUARTERS;
  return sound ? hours : null;
}

function quarterOf(time: string): number {
  const match = /^(\d{1,2}):(\d{1,2})$/.exec(time);
  const [hour, minute] = [Number(match?.[1] ?? -1), Number(match?.[2] ?? -1)];
  const real = (hour >= 0 && hour < 24 && minute < 60) || (hour === 24 && minute === 0);
  return match && real && minute % 15 === 0 ? hour * 4 + minute / 15 : -1;
}

function fill(week: boolean[][], day: number, { start, end }: Hours) {
  if (end > start) {
    week[day]?.fill(true, start, end);
  } else {
    week[day]?.fill(true, start);
    week[(day + 1) % 7]?.fill(true, 0, end);
  }
}

/** The week as people say it. An evening and the next morning are one entry, and so are neighbouring days with equal hours. */
export function writeSchedule(week: Week): string {
  const days = hoursByDay(week);
  const has = (day: number, hours: Hours) =>
    days[day]?.some(({ start, end }) => start === hours.start && end === hours.end) ?? false;
  const entries: string[] = [];
  days.forEach((all, first) => {
    for (const hours of all) {
      if (first > 0 && has(first - 1, hours)) continue; // part of the entry of the day before
      let last = first;
      while (last < 6 && has(last + 1, hours)) last += 1;
      entries.push(entry(first, last, hours));
    }
  });
  return entries.length === 0 ? NONE : entries.join(", ");
}

function entry(first: number, last: number, hours: Hours): string {
  const days = first === last ? `${DAYS[first]}` : `${DAYS[first]}-${DAYS[last]}`;
  return hours.start === 0 && hours.end === QUARTERS ? days : `${days} ${timeOf(hours.start)}-${timeOf(hours.end)}`;
}

function hoursByDay(week: Week): Hours[][] {
  const all: Hours[][] = DAYS.map(() => []);
  week.forEach((quarters, day) => {
    const [before, after] = [week[(day + 6) % 7] ?? [], week[(day + 1) % 7] ?? []];
    if (isWhole(quarters)) {
      all[day]?.push(WHOLE);
      return;
    }
    // A morning that belongs to the evening before is part of that entry.
    const begin = joins(before, quarters) ? morning(quarters) : 0;
    for (const run of runsFrom(quarters, begin)) {
      if (run.end === QUARTERS && joins(quarters, after)) run.end = morning(after);
      else if (run.end === QUARTERS && isWhole(after)) run.end = sameEvening(all, run.start) ?? QUARTERS;
      all[day]?.push(run);
    }
  });
  return all;
}

/** Hours that run into a whole day may end at any time of it: take the end of the other evenings. */
function sameEvening(all: Hours[][], start: number): number | undefined {
  return all.flat().find((hours) => hours.start === start && hours.end < hours.start)?.end;
}

function runsFrom(quarters: readonly boolean[], from: number): Hours[] {
  const runs: Hours[] = [];
  for (let quarter = from; quarter < QUARTERS; quarter += 1) {
    if (!quarters[quarter]) continue;
    const last = runs.at(-1);
    if (last?.end === quarter) last.end = quarter + 1;
    else runs.push({ start: quarter, end: quarter + 1 });
  }
  return runs;
}

function isWhole(quarters: readonly boolean[]): boolean {
  return quarters.every(Boolean);
}

/** The end of the hours that begin at midnight. */
function morning(quarters: readonly boolean[]): number {
  const end = quarters.indexOf(false);
  return end < 0 ? QUARTERS : end;
}

/**
 * Whether one day's evening and the next day's morning are one entry. They are only if it ends earlier than it begins;
 * otherwise it would read as hours of one day.
 */
function joins(day: readonly boolean[], next: readonly boolean[]): boolean {
  if (isWhole(day) || isWhole(next)) return false;
  const evening = day.lastIndexOf(false) + 1;
  const end = morning(next);
  return evening < QUARTERS && end >= 1 && end < evening;
}
