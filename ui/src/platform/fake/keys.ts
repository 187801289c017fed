/** The keys of limits: the presets' values, and how a value is read and refused. */
import { parseDuration, writeDuration } from "../../lib/duration";
import { parseSchedule, writeSchedule } from "../../lib/schedule";
import * as v from "../../lib/value";
import { WHENS } from "../../lib/when";

export type Preset = "quiet" | "balanced" | "full";

/** A value in its canonical form, or what is wrong with it. */
type Read = (text: string) => { value: string } | { problem: string };

export interface Key {
  help: string;
  range: string;
  read: Read;
  presets: Record<Preset, string>;
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
  (...known: string[]): Read =>
  (text) =>
    known.includes(text.trim()) ? { value: text.trim() } : { problem: "not known" };
const orWord =
  (off: string, read: Read): Read =>
  (text) =>
    text.trim() === off ? { value: off } : read(text);
const speed: Read = (text) =>
  checked(
    v.parseSpeed(text),
    () => text.replaceAll(/\s/g, ""),
    (bytes) => bytes >= 1000,
    "without a unit",
  );
const celsius: Read = (text) =>
  checked(
    v.parseCelsius(text),
    (degrees) => `${degrees}°C`,
    (degrees) => degrees >= 40 && degrees <= 110,
    "not a number",
  );
const threads: Read = (text) =>
  checked(
    /^\d+$/.test(text.trim()) ? Number(text) : null,
    String,
    (count) => count >= 1 && count <= 1024,
    "not a number",
  );
const duration: Read = (text) =>
  checked(parseDuration(text), writeDuration, (seconds) => seconds >= 1 && seconds <= 86_400, "not a duration");
const schedule: Read = (text) => checked(parseSchedule(text), writeSchedule, () => true, "not a list of hours");
const programs: Read = (text) =>
  text.includes("/")
    ? { problem: "not a list of programs: a name, not a path, is expected" }
    : { value: v.writePrograms(v.parsePrograms(text)) };

const percents = "1 to 100 %";
const amounts = "0 to 100 % with its sign, or bytes as in 4GiB or 500MB";

function key(help: string, range: string, read: Read, quiet: string, balanced: string, full: string): Key {
  return { help, range, read, presets: { quiet, balanced, full } };
}

export const KEYS: Record<string, Key> = {
  preset: key(
    "The limits to start from; choosing one undoes every change but a pause",
    "quiet, balanced or full",
    word("quiet", "balanced", "full"),
    "quiet",
    "balanced",
    "full",
  ),
  cpu: key("Most of all cores' time", percents, percentFrom(1), "25%", "50%", "100%"),
  "cpu-threads": key("Most threads that compute", "1 to 1024, or all", orWord(v.ALL, threads), "all", "all", "all"),
  "cpu-in-use": key(
    "Most of all cores' time while somebody is there; never more than cpu",
    "0 to 100 %",
    percentFrom(0),
    "0%",
    "10%",
    "100%",
  ),
  gpu: key("Most of the GPU's time", percents, percentFrom(1), "40%", "60%", "100%"),
  "gpu-in-use": key(
    "Most of the GPU's time while somebody is there; never more than gpu",
    "0 to 100 %",
    percentFrom(0),
    "0%",
    "15%",
    "100%",
  ),
  "gpu-memory": key("Most GPU memory", amounts, amount, "50%", "60%", "90%"),
  memory: key("Most main memory", amounts, amount, "25%", "50%", "50%"),
  disk: key("Most of the disk, for weights", amounts, amount, "10%", "20%", "50%"),
  network: key(
    "Most network traffic for weights; off for no limit",
    "1kB/s or more, as in 500kB/s or 10MB/s, or off",
    orWord(v.OFF, speed),
    "2MB/s",
    "10MB/s",
    "off",
  ),
  when: key(
    "When to work: always, only while nobody is there, in the hours of the schedule, or where both allow it",
    "always, idle, schedule or idle-in-schedule",
    word(...WHENS),
    "idle",
    "always",
    "always",
  ),
  "idle-after": key(
    "Without input for so long the user counts as away",
    "1s to 24h, as in 90s, 3m or 1h 30m",
    duration,
    "10m",
    "3m",
    "3m",
  ),
  schedule: key(
    "The hours to work in if when names the schedule, in local time",
    "days with or without hours, on the quarter, as in mon-fri 18:00-08:00, sat-sun; or none",
    schedule,
    "mon-sun 22:00-07:00",
    "mon-sun 22:00-07:00",
    "mon-sun",
  ),
  "on-battery": key(
    "Work while the machine runs on its battery",
    "true or false",
    word("true", "false"),
    "false",
    "false",
    "true",
  ),
  "max-temperature": key(
    "Stop above this temperature of the CPU or GPU",
    "40 to 110 °C, or off",
    orWord(v.OFF, celsius),
    "75°C",
    "85°C",
    "95°C",
  ),
  "others-cpu": key(
    "Somebody counts as there while other programs use more of all cores' time",
    "1 to 100 %, or off",
    orWord(v.OFF, percentFrom(1)),
    "10%",
    "25%",
    "off",
  ),
  "others-gpu": key(
    "Somebody counts as there while other programs use more of the GPU's time",
    "1 to 100 %, or off",
    orWord(v.OFF, percentFrom(1)),
    "5%",
    "10%",
    "off",
  ),
  "stop-for": key(
    "Stop while one of these programs runs",
    "up to 32 names with commas between, as in blender, steam; or none",
    programs,
    "none",
    "none",
    "none",
  ),
  "full-screen": key(
    "What to do while a program fills the screen",
    "stop or ignore",
    word("stop", "ignore"),
    "stop",
    "stop",
    "ignore",
  ),
};
