/** The limits' keys with how a value is read and refused. What a key takes comes from the worker's own table. */
import type { KeySpec, PresetValues } from "../../api/limit-keys";
import { LIMIT_KEYS } from "../../api/limit-keys";
import { parseDuration, writeDuration } from "../../lib/duration";
import { parseSchedule, writeSchedule } from "../../lib/schedule";
import * as v from "../../lib/value";

export type Preset = keyof PresetValues;

/** A value in its canonical form, or what is wrong with it. */
type Read = (text: string) => { value: string } | { problem: string };

export interface Key {
  help: string;
  range: string;
  read: Read;
  presets: PresetValues;
}

function checked<T>(value: T | null, write: (value: T) => string, fits: (value: T) => boolean, problem: string) {
  if (value === null) return { problem };
  return fits(value) ? { value: write(value) } : { problem: "out of range" };
}

const plainPercent = (part: number) => `${Number((part * 100).toFixed(1))}%`;
const percentFrom =
  (least: number): Read =>
  (text) => {
    const number = Number(text.replace("%", ""));
    if (text.trim() !== "" && Number.isFinite(number) && (number < least || number > 100)) {
      return { problem: "out of range" };
    }
    return checked(v.parsePercent(text), plainPercent, () => true, "not a number");
  };
const amount: Read = (text) =>
  checked(
    v.parseAmount(text),
    () => text.replaceAll(/\s/g, ""),
    () => true,
    /^[\d.]+$/.test(text) ? "without a unit" : "not a number",
  );
const word =
  (known: readonly string[]): Read =>
  (text) =>
    known.includes(text.trim()) ? { value: text.trim() } : { problem: "not known" };
const orWord =
  (off: string, read: Read): Read =>
  (text) =>
    text.trim() === off ? { value: off } : read(text);
const speedFrom =
  (least: number): Read =>
  (text) =>
    checked(
      v.parseSpeed(text),
      () => text.replaceAll(/\s/g, ""),
      (bytes) => bytes >= least,
      "without a unit",
    );
const celsius =
  (least: number, most: number): Read =>
  (text) =>
    checked(
      v.parseCelsius(text),
      (degrees) => `${degrees}°C`,
      (degrees) => degrees >= least && degrees <= most,
      "not a number",
    );
const count =
  (least: number, most: number): Read =>
  (text) =>
    checked(
      /^\d+$/.test(text.trim()) ? Number(text) : null,
      String,
      (count) => count >= least && count <= most,
      "not a number",
    );
const duration =
  (least: number, most: number): Read =>
  (text) =>
    checked(parseDuration(text), writeDuration, (seconds) => seconds >= least && seconds <= most, "not a duration");
const energy =
  (least: number, most: number): Read =>
  (text) =>
    checked(
      v.parseEnergy(text),
      v.writeEnergy,
      (wattHours) => wattHours >= least && wattHours <= most,
      /^[\d.]+$/.test(text.trim()) ? "without a unit" : "in an unknown unit",
    );
const schedule: Read = (text) => checked(parseSchedule(text), writeSchedule, () => true, "not a list of hours");
const programs: Read = (text) =>
  text.includes("/")
    ? { problem: "not a list of programs: a name, not a path, is expected" }
    : { value: v.writePrograms(v.parsePrograms(text)) };

function reader({ values }: KeySpec): Read {
  switch (values.kind) {
    case "percent":
      return percentFrom(values.least);
    case "count":
      return count(values.least, values.most);
    case "amount":
      return amount;
    case "speed":
      return speedFrom(values.least);
    case "duration":
      return duration(values.least, values.most);
    case "energy":
      return energy(values.least, values.most);
    case "celsius":
      return celsius(values.least, values.most);
    case "flag":
      return word(["true", "false"]);
    case "word":
      return word(values.words);
    case "hours":
      return schedule;
    case "programs":
      return programs;
    case "pause":
      return word(["on"]);
  }
}

function key(spec: KeySpec): Key {
  const read = spec.off === null ? reader(spec) : orWord(spec.off, reader(spec));
  return { help: spec.help, range: spec.range, read, presets: spec.presets };
}

/** Every key but the pause, which the made-up machine keeps apart. */
const { pause: _, ...SPECS } = LIMIT_KEYS;

export const KEYS: Record<string, Key> = Object.fromEntries(
  Object.entries(SPECS).map(([name, spec]) => [name, key(spec)]),
);
