/** A limit's value for people, real units first: `4.8 of 8 GB`, `3 minutes`, `off`. */
import type { Machine } from "../../api/types";
import { words } from "../../words";
import { parseDuration } from "../duration";
import { diskOf, memoryOf } from "../units";
import { ALL, NONE, OFF, parseAmount, pretty, resolve } from "../value";
import { duration } from "./example";
import { wholeOf } from "./steps";

const text = words.limits;
const whens: Record<string, { name: string }> = text.whens;

export function shown(key: string, value: string, machine: Machine): string {
  if (value === OFF) return key === "network" ? text.noLimit : text.off;
  if (value === ALL) return text.all;
  if (value === NONE) return text.none;
  if (value === "true") return text.yes;
  if (value === "false") return text.no;
  if (key === "when") return whens[value]?.name ?? value;
  if (key === "idle-after") return duration(parseDuration(value) ?? 0);
  const amount = parseAmount(value);
  const whole = wholeOf(key, machine);
  if (amount !== null && whole !== null) return (key === "disk" ? diskOf : memoryOf)(resolve(amount, whole), whole);
  return pretty(value, key === "disk" ? "disk" : key.includes("memory") ? "memory" : "other");
}

/** What a bound of the administrator says. */
export function boundText(key: string, bound: string, machine: Machine): string {
  if (key === "idle-after") return text.boundLeast(shown(key, bound, machine));
  const fixed = ["true", "false", "stop", "ignore"].includes(bound) || key === "when" || key === "schedule";
  return fixed ? text.boundFixed(shown(key, bound, machine)) : text.bound(shown(key, bound, machine));
}
