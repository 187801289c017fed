/** Files for a spreadsheet: comma-separated values as in RFC 4180. */
import type { Day } from "../api/types";
import type { Entry } from "./timeline";
import { THIN } from "./units";

type Field = string | number;

/** A spreadsheet takes a text that begins so for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

export function csv(head: readonly string[], rows: readonly (readonly Field[])[]): string {
  return [head, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

function field(value: Field): string {
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The work of each day. */
export function daysCsv(days: readonly Day[]): string {
  const round = (value: number, digits: number) => Number(value.toFixed(digits));
  return csv(
    ["date", "tokens", "active_seconds", "energy_wh", "metered_wh", "running_seconds"],
    days.map((day) => [
      day.date,
      day.tokens,
      round(day.active_seconds, 1),
      round(day.energy_wh, 3),
      round(day.metered_wh, 3),
      round(day.running_seconds, 1),
    ]),
  );
}

/** What happened, oldest first, in UTC. */
export function timelineCsv(entries: readonly Entry[]): string {
  const rows = entries.map(({ at, what, why }) => [
    new Date(at).toISOString(),
    what.replaceAll(THIN, " "),
    (why ?? "").replaceAll(THIN, " "),
  ]);
  return csv(["time", "what", "why"], rows.reverse());
}
