/** Where sliders stop: sensible values of each limit, as the worker takes them, from the left to the right. */
import { LIMIT_KEYS } from "../../api/limit-keys";
import type { Machine } from "../../api/types";
import { parseDuration } from "../duration";
import { ALL, OFF, parseAmount, parseCelsius, parseEnergy, parsePercent, parseSpeed, UNLIMITED } from "../value";
import { specOf, type KeyOf } from "./keys";

/** Kinds of values that have an order, so that a slider can show them. */
const ORDERED = ["percent", "count", "amount", "speed", "duration", "energy", "celsius"] as const;

/** Limits with a slider. */
export type SliderKey = KeyOf<(typeof ORDERED)[number]>;

function range(first: number, last: number, step: number, unit: string): string[] {
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, at) => `${first + at * step}${unit}`);
}

const PERCENT = range(5, 100, 5, "%");
/** Nothing is a choice while somebody is there. */
const PERCENT_OR_NOTHING = range(0, 100, 5, "%");
/** Above 90 % nothing else has room, below 5 % no model fits. */
const MEMORY = range(5, 90, 5, "%");
/** A small part of a large disk is a lot. */
const DISK = ["1%", "2%", ...range(5, 90, 5, "%")];
const OTHERS = [...range(5, 50, 5, "%"), ...range(60, 90, 10, "%"), OFF];
const NETWORK = ["500kB/s", "1MB/s", "2MB/s", "5MB/s", "10MB/s", "20MB/s", "50MB/s", "100MB/s", UNLIMITED];
const IDLE = ["30s", "1m", "2m", "3m", "5m", "10m", "15m", "20m", "30m", "45m", "1h", "2h"];
const HOURS_A_DAY = ["15m", "30m", ...range(1, 12, 1, "h"), "16h", "20h", OFF];
const ENERGY = ["100Wh", "200Wh", "300Wh", "500Wh", "1kWh", "1500Wh", "2kWh", "3kWh", "5kWh", "10kWh", OFF];
const HEAT = [...range(60, 100, 5, "°C"), OFF];

const STEPS: Record<Exclude<SliderKey, "cpu-threads">, readonly string[]> = {
  cpu: PERCENT,
  "cpu-in-use": PERCENT_OR_NOTHING,
  gpu: PERCENT,
  "gpu-in-use": PERCENT_OR_NOTHING,
  "gpu-memory": MEMORY,
  memory: MEMORY,
  disk: DISK,
  network: NETWORK,
  "idle-after": IDLE,
  "daily-hours": HOURS_A_DAY,
  "daily-energy": ENERGY,
  "max-temperature": HEAT,
  "others-cpu": OTHERS,
  "others-gpu": OTHERS,
};

export function isSlider(key: string): key is SliderKey {
  const kind = specOf(key)?.values.kind;
  return ORDERED.some((ordered) => ordered === kind);
}

/** Whether the larger of two values is the stricter one. */
export function moreIsStricter(key: SliderKey): boolean {
  return LIMIT_KEYS[key].bound === "least";
}

/** Bytes that a limit is a part of; null where they are not known. */
export function wholeOf(key: string, machine: Machine): number | null {
  const values = specOf(key)?.values;
  return values?.kind === "amount" ? machine[values.of] : null;
}

/** A value's place among others of its key: no limit is the most. Null where it cannot be compared. */
export function rank(key: SliderKey, value: string, machine: Machine): number | null {
  const { values, off } = LIMIT_KEYS[key];
  if (value === off) return Infinity;
  switch (values.kind) {
    case "percent":
      return parsePercent(value);
    case "count":
      return Number.parseInt(value, 10);
    case "amount":
      return shareOf(value, wholeOf(key, machine));
    case "speed":
      return parseSpeed(value);
    case "duration":
      return parseDuration(value);
    case "energy":
      return parseEnergy(value);
    case "celsius":
      return parseCelsius(value);
  }
}

/** An amount as a share of the whole. Bytes cannot be compared where the whole is not known. */
function shareOf(value: string, whole: number | null): number | null {
  const amount = parseAmount(value);
  if (amount === null) return null;
  if (whole === null) return Number.isFinite(amount.bytes) ? null : amount.part;
  return Math.min(amount.part, amount.bytes / whole);
}

/** The slider's stops. Where somebody else has set a bound they end there. */
export function steps(key: SliderKey, machine: Machine, bound: string | null): readonly string[] {
  const all = key === "cpu-threads" ? [...range(1, Math.max(1, machine.cores - 1), 1, ""), ALL] : STEPS[key];
  const end = bound === null ? null : rank(key, bound, machine);
  if (bound === null || end === null) return all;
  const of = (step: string) => rank(key, step, machine) ?? 0;
  if (moreIsStricter(key)) return [bound, ...all.filter((step) => of(step) > end)];
  return [...all.filter((step) => of(step) < end), bound];
}

/** The stop that is nearest to a value. */
export function nearest(key: SliderKey, value: string, stops: readonly string[], machine: Machine): number {
  const place = rank(key, value, machine) ?? 0;
  const far = (step: string) => {
    const at = rank(key, step, machine) ?? 0;
    return at === place ? 0 : Math.abs(at - place);
  };
  return stops.reduce((best, step, at) => (far(step) < far(stops[best] ?? "") ? at : best), 0);
}
