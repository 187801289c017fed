/** The timeline by days, and what of it fits a search. */
import { isoDate, longDate, shortDay } from "./time";
import type { Entry } from "./timeline";

export interface TimelineDay {
  /** `2026-11-25`. */
  date: string;
  /** Newest first. */
  entries: Entry[];
}

/** The entries by day, newest first. */
export function byDay(entries: readonly Entry[]): TimelineDay[] {
  const days: TimelineDay[] = [];
  for (const entry of entries) {
    const date = isoDate(entry.at);
    const last = days.at(-1);
    if (last?.date === date) last.entries.push(entry);
    else days.push({ date, entries: [entry] });
  }
  return days;
}

/** The entries that have every word of the search in what happened, why, or the date; all if there is none. */
export function search(entries: readonly Entry[], sought: string): Entry[] {
  const terms = plain(sought).split(" ").filter(Boolean);
  return entries.filter(({ at, what, why }) => {
    const text = plain(`${what} ${why ?? ""} ${shortDay(at)} ${longDate(at)}`);
    return terms.every((term) => text.includes(term));
  });
}

/** Any case, any width of spaces. */
function plain(text: string): string {
  return text.toLocaleLowerCase().replace(/\s+/g, " ");
}
