/**
 * The format of figures. Real units come before per cent.
 *
 * Memory counts in powers of two (GiB), disks and networks in powers of ten (GB): in the fields, in the worker's words
 * and on the command line as well, so that one unit means one thing.
 */
import { THIN } from "../design/typography";
import { words } from "../words";

export { THIN };

const BINARY = 1024;
const DECIMAL = 1000;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
/** Disks and networks count in thousands, and use a small k. */
const DECIMAL_UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** At most one decimal, none from 100 on, and no decimal 0. */
export function short(value: number): string {
  const digits = Math.abs(value) >= 99.95 ? 0 : 1;
  return trim(value.toFixed(digits));
}

function trim(text: string): string {
  return text.replace(/\.0$/, "").replace(/^-0$/, "0");
}

function scaled(bytes: number, base: number): [number, number] {
  let [value, unit] = [bytes, 0];
  // Rounded first: 1023.99 MB are 1 GB.
  while (Number(short(value)) >= base && unit < UNITS.length - 1) {
    value /= base;
    unit += 1;
  }
  return [value, unit];
}

/** Memory: `2.9 GiB`. */
export function memory(bytes: number): string {
  const [value, unit] = scaled(bytes, BINARY);
  return `${short(value)}${THIN}${UNITS[unit]}`;
}

/** Disk space and traffic: `100 GB`. */
export function disk(bytes: number): string {
  const [value, unit] = scaled(bytes, DECIMAL);
  return `${short(value)}${THIN}${DECIMAL_UNITS[unit]}`;
}

/** Both in the unit of the whole: `2.9 of 4.4 GiB`. */
export function memoryOf(bytes: number, whole: number): string {
  return partOf(bytes, whole, BINARY, UNITS);
}

/**
 * As {@link memoryOf}, always with one decimal, because a live figure must not change its width. What would round to
 * nothing has a unit of its own: `22 MiB of 11.8 GiB`.
 */
export function steadyMemoryOf(bytes: number, whole: number): string {
  const [value, unit] = scaled(whole, BINARY);
  const part = bytes / BINARY ** unit;
  const all = `${short(value)}${THIN}${UNITS[unit]}`;
  return words.units.of(bytes > 0 && part < 0.05 ? memory(Math.round(bytes)) : part.toFixed(1), all);
}

/** Both in the unit of the whole: `100 of 500 GB`. */
export function diskOf(bytes: number, whole: number): string {
  return partOf(bytes, whole, DECIMAL, DECIMAL_UNITS);
}

function partOf(bytes: number, whole: number, base: number, units: readonly string[]): string {
  const [value, unit] = scaled(whole, base);
  return words.units.of(short(bytes / base ** unit), `${short(value)}${THIN}${units[unit]}`);
}

/** A part between 0 and 1: `18 %`. A part above 0 is never written as 0. */
export function percent(part: number): string {
  const hundredths = part * 100;
  if (hundredths > 0 && hundredths < 0.95) return `<${THIN}1${THIN}%`;
  return `${Math.round(hundredths)}${THIN}%`;
}

/** A part between 0 and 1 to the tenth, as limits are set: `12.5 %`. */
export function exactPercent(part: number): string {
  return `${trim((part * 100).toFixed(1))}${THIN}%`;
}

/** A share in thousandths, the worker's unit. */
export function share(thousandths: number): string {
  return exactPercent(thousandths / 1000);
}

/** A part of the cores: `4 of 8 cores`. */
export function cores(part: number, all: number): string {
  return words.units.of(short(part * all), words.units.cores(all));
}

export function celsius(degrees: number): string {
  return `${Math.round(degrees)}${THIN}°C`;
}

export function watts(value: number): string {
  return `${Math.round(value)}${THIN}W`;
}

/** Energy in watt-hours, or kilowatt-hours from a thousand on. */
export function energy(wattHours: number): string {
  if (wattHours >= 999.5) return `${(wattHours / 1000).toFixed(wattHours >= 99_950 ? 0 : 2)}${THIN}kWh`;
  return `${short(wattHours)}${THIN}Wh`;
}

/** A rate: `14`, `0.4`, `1,240`. */
export function rate(perSecond: number): string {
  return perSecond < 9.95 ? short(perSecond) : count(Math.round(perSecond));
}

/** `1,234,567`, in millions from ten million on. */
export function count(value: number): string {
  if (value >= 9_999_500) return words.units.million(short(value / 1e6));
  return Math.round(value).toLocaleString(words.locale);
}

export function milliseconds(value: number): string {
  return `${short(value)}${THIN}ms`;
}

/** How long something ran, for people: `6.4 hours`, `12 minutes`. */
export function activeTime(seconds: number): string {
  const hours = seconds / 3600;
  return hours >= 0.995 ? words.units.hours(short(hours)) : words.units.minutes(Math.round(seconds / 60));
}
