/** When to work at all: the values of `when`. */
import { LIMIT_KEYS } from "../api/limit-keys";

export const WHENS = LIMIT_KEYS.when.values.words;
export type When = (typeof WHENS)[number];

/** Whether nothing is lent while somebody is there. */
export function waitsForIdle(when: string): boolean {
  return when === "idle" || when === "idle-in-schedule";
}

/** Whether nothing is lent outside the hours of the schedule. */
export function keepsHours(when: string): boolean {
  return when === "schedule" || when === "idle-in-schedule";
}

/** The choice of both rules, or of one, or of none. */
export function whenOf(idle: boolean, hours: boolean): When {
  if (idle) return hours ? "idle-in-schedule" : "idle";
  return hours ? "schedule" : "always";
}
