/** Times of the day and dates on the donor's clock. */
import { words } from "../words";

const DAY_MS = 24 * 3600 * 1000;
/** When tomorrow begins for a pause: at the start of a working day. */
const MORNING_HOUR = 8;
/** Before this hour the donor has not gone to bed yet: tomorrow is this morning. */
const NIGHT_ENDS_HOUR = 5;

const time = new Intl.DateTimeFormat(words.locale, { hour: "2-digit", minute: "2-digit" });
const timeToTheSecond = new Intl.DateTimeFormat(words.locale, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const day = new Intl.DateTimeFormat(words.locale, { weekday: "short", day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(words.locale, { day: "numeric", month: "long", year: "numeric" });

/** `14:32`. */
export const clockTime = (ms: number) => time.format(ms);
/** `14:32:07`. */
export const clockSeconds = (ms: number) => timeToTheSecond.format(ms);
/** `Wed 25 Nov`. */
export const shortDay = (ms: number) => day.format(ms).replace(",", "");
/** `Wed`, `25` and `Nov`. */
export function dayParts(ms: number): Record<"weekday" | "day" | "month", string> {
  const parts = day.formatToParts(ms);
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.find((part) => part.type === type)?.value ?? "";
  return { weekday: part("weekday"), day: part("day"), month: part("month") };
}
/** `25 November 2026`. */
export const longDate = (ms: number) => date.format(ms);

/** `14:32` today, `Tue 24 Nov, 14:32` before. */
export function moment(ms: number, now: number, clock = clockTime): string {
  return isoDate(ms) === isoDate(now) ? clock(ms) : `${shortDay(ms)}, ${clock(ms)}`;
}

/** A local time of the worker (`2026-11-25T14:30:00`), without the date if it is today. */
export function civil(at: string, today: boolean): string {
  const ms = new Date(at).getTime();
  return today ? clockTime(ms) : words.state.onDate(clockTime(ms), longDate(ms));
}

/** The local date: `2026-11-25`. */
export function isoDate(ms: number): string {
  const local = new Date(ms);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${local.getFullYear()}-${two(local.getMonth() + 1)}-${two(local.getDate())}`;
}

/** Noon of a local date, which stays on that date when clocks change. */
export function noonOf(iso: string): number {
  return new Date(`${iso}T12:00:00`).getTime();
}

/** The date this many days later. */
export function addDays(iso: string, days: number): string {
  return isoDate(noonOf(iso) + days * DAY_MS);
}

/** Seconds from now until the morning of the next day. */
export function untilTomorrow(now: Date): number {
  const end = new Date(now);
  if (now.getHours() >= NIGHT_ENDS_HOUR) end.setDate(end.getDate() + 1);
  end.setHours(MORNING_HOUR, 0, 0, 0);
  return Math.round((end.getTime() - now.getTime()) / 1000);
}
