/** The values that the policy leaves to the donor, who may always be stricter. */
import type { Machine, Status } from "../../api/types";
import { emptyWeek, parseSchedule, within } from "../schedule";
import { settingOf } from "../settings";
import { parsePrograms } from "../value";
import { keepsHours, waitsForIdle } from "../when";
import { specOf } from "./keys";
import { isSlider, moreIsStricter, rank } from "./steps";

/** Whether a bound leaves every choice. */
export function leavesAll(key: string, bound: string): boolean {
  return specOf(key)?.laxest === bound;
}

/** Whether a value is as strict as the bound of its key. What cannot be compared here is the worker's to judge. */
export function allows(bound: string, key: string, value: string, machine: Machine): boolean {
  if (value === bound || leavesAll(key, bound)) return true;
  if (isSlider(key)) {
    const [own, most] = [rank(key, value, machine), rank(key, bound, machine)];
    if (own === null || most === null) return true;
    return moreIsStricter(key) ? own >= most : own <= most;
  }
  if (key === "when") {
    return (!waitsForIdle(bound) || waitsForIdle(value)) && (!keepsHours(bound) || keepsHours(value));
  }
  switch (specOf(key)?.values.kind) {
    case "flag":
    case "word":
      return !leavesAll(key, value);
    case "programs":
      return parsePrograms(bound).every((name) => isNamed(value, name));
    case "hours": {
      const [hours, most] = [parseSchedule(value), parseSchedule(bound)];
      return !hours || !most || within(hours, most).every((day, at) => day.join() === (hours[at] ?? []).join());
    }
    default:
      return true;
  }
}

/** Whether the donor may set this value now. */
export function mayBe(status: Status, key: string, value: string): boolean {
  const managed = settingOf(status, key)?.managed;
  return !managed || allows(managed.bound, key, value, status.machine);
}

/** Whether a list of programs names one, in whatever case: some systems tell them apart by it, donors do not. */
export function isNamed(list: string, program: string): boolean {
  return parsePrograms(list).some((name) => name.toLowerCase() === program.toLowerCase());
}

/** The hours that a bound leaves; null where all are. */
export function hoursLeft(bound: string | undefined): boolean[][] | null {
  return bound === undefined ? null : (parseSchedule(bound) ?? emptyWeek());
}
