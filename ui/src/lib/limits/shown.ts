/** A limit's value for people, in real units if possible: `4.8 of 8 GiB`, `3 minutes`, `off`. */
import type { Machine } from "../../api/types";
import { words } from "../../words";
import { parseDuration } from "../duration";
import { diskOf, energy, memoryOf, THIN } from "../units";
import { ALL, NONE, OFF, parseAmount, parseEnergy, parsePrograms, pretty, resolve, UNLIMITED } from "../value";
import { leavesAll } from "./bound";
import { duration } from "./example";
import { specOf } from "./keys";
import { wholeOf } from "./steps";

const text = words.limits;
/** Without these limits there is no limit; other rules are turned off. */
const NO_LIMIT = new Set(["daily-hours", "daily-energy"]);
const whens: Record<string, { name: string }> = text.whens;

export function shown(key: string, value: string, machine: Machine): string {
  if (value === OFF) return NO_LIMIT.has(key) ? text.unlimited : text.off;
  if (value === UNLIMITED) return text.unlimited;
  if (value === ALL) return text.all;
  if (value === NONE) return text.none;
  if (value === "true" || value === "stop") return text.yes;
  if (value === "false" || value === "ignore") return text.no;
  if (key === "when") return whens[value]?.name ?? value;
  if (specOf(key)?.values.kind === "energy") return energy(parseEnergy(value) ?? 0);
  if (specOf(key)?.values.kind === "duration") return duration(parseDuration(value) ?? 0);
  const amount = parseAmount(value);
  const whole = wholeOf(key, machine);
  if (amount !== null && whole !== null) return (key === "disk" ? diskOf : memoryOf)(resolve(amount, whole), whole);
  return pretty(value, key === "disk" ? "disk" : key.includes("memory") ? "memory" : "other");
}

/** The value in its field. Without the narrow spaces it is what the worker parses. */
export function written(key: string, value: string): string {
  const spaced = value.replaceAll(/(\d)([^\d\s.]+)/g, `$1${THIN}$2`);
  return specOf(key)?.values.kind === "duration" ? spaced.replaceAll(/m\b/g, "min") : spaced;
}

/** A bound of the policy, in words. */
export function boundText(key: string, bound: string, machine: Machine): string {
  if (leavesAll(key, bound)) return text.bounds.free;
  const spec = specOf(key);
  switch (spec?.values.kind) {
    case "hours":
      return text.bounds.hours(bound);
    case "programs":
      return text.bounds.programs(words.list(parsePrograms(bound)));
    case "flag":
    case "word":
      return text.bounds.when[bound] ?? text.bounds.fixed(shown(key, bound, machine));
    default:
      return text.bounds[spec?.bound === "least" ? "least" : "most"](shown(key, bound, machine));
  }
}
