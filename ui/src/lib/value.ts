/** The values of limits, in the worker's own text forms (`gogrid limits set` takes the same). */
import { words } from "../words";
import { disk, exactPercent, memory, THIN } from "./units";

/** What turns a rule off. */
export const OFF = "off";
/** Any traffic. */
export const UNLIMITED = "unlimited";
/** An empty list. */
export const NONE = "none";
/** Any number of threads. */
export const ALL = "all";
/** Goes back to the preset's value. */
export const DEFAULT = "default";

const MULTIPLES: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Between a part and the bytes that it may reach: what comes of a donor who counts in one and a policy in the other. */
const UP_TO = " up to ";

/** A share of what the machine has (between 0 and 1), and an upper bound in bytes. */
export interface Amount {
  part: number;
  bytes: number;
}

/** `25`, `25%`, `12.5 %` as a part between 0 and 1; null where it is none. */
export function parsePercent(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d)?)\s*%?\s*$/.exec(text.replaceAll(THIN, ""));
  const percent = match ? Number(match[1]) : Number.NaN;
  return percent >= 0 && percent <= 100 ? percent / 100 : null;
}

/** `500MB`, `4 GiB`; null where it has no known unit. */
export function parseBytes(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(text);
  const multiple = MULTIPLES[match?.[2]?.toLowerCase() ?? ""];
  return match && multiple !== undefined ? Math.round(Number(match[1]) * multiple) : null;
}

/** `60%`, `4GiB`, `60% up to 4GiB`; null where it is none. */
export function parseAmount(text: string): Amount | null {
  const [first = "", second] = text.split(UP_TO);
  if (second === undefined && !first.trim().endsWith("%")) {
    const bytes = parseBytes(first);
    return bytes === null ? null : { part: 1, bytes };
  }
  const [part, bytes] = [parsePercent(first), second === undefined ? Infinity : parseBytes(second)];
  return part === null || bytes === null ? null : { part, bytes };
}

/** In bytes, never more than the whole. */
export function resolve({ part, bytes }: Amount, whole: number): number {
  return Math.min(Math.floor(part * whole), bytes);
}

/** `10MB/s` in bytes per second. A small b is refused: it would be taken for bits. */
export function parseSpeed(text: string): number | null {
  const match = /^(.*B)\/s\s*$/.exec(text);
  return match?.[1] === undefined ? null : parseBytes(match[1]);
}

/** `500Wh`, `1.5kWh` in watt-hours. */
export function parseEnergy(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(k?)Wh\s*$/.exec(text);
  return match ? Math.round(Number(match[1]) * (match[2] === "k" ? 1000 : 1)) : null;
}

export function writeEnergy(wattHours: number): string {
  return wattHours % 1000 === 0 ? `${wattHours / 1000}kWh` : `${wattHours}Wh`;
}

/** `85`, `85°C`. */
export function parseCelsius(text: string): number | null {
  const match = /^\s*(\d{1,3})\s*(?:°?C)?\s*$/.exec(text);
  return match ? Number(match[1]) : null;
}

/** A list of names, none for `none`. */
export function parsePrograms(text: string): string[] {
  if (text.trim() === "" || text.trim() === NONE) return [];
  return text.split(",").map((name) => name.trim());
}

export function writePrograms(names: readonly string[]): string {
  return names.length === 0 ? NONE : names.join(", ");
}

/** A value as people read it: `25%` as `25 %`, `4GiB` as `4 GiB`. Units of memory and of disks differ. */
export function pretty(value: string, kind: "memory" | "disk" | "other" = "other"): string {
  const [first = "", second] = value.split(UP_TO);
  if (second !== undefined) return words.units.upTo(pretty(first), pretty(second, kind));
  const part = value.endsWith("%") ? parsePercent(value) : null;
  if (part !== null) return exactPercent(part);
  const speed = parseSpeed(value);
  if (speed !== null) return `${disk(speed)}/s`;
  const bytes = parseBytes(value);
  if (bytes !== null && kind !== "other") return kind === "memory" ? memory(bytes) : disk(bytes);
  if (/^\d+°C$/.test(value)) return value.replace("°C", `${THIN}°C`);
  return value;
}
