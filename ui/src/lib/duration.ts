/** Durations: parsed and written as in the worker (`3m`, `1h 30m`), and formatted for people. */

const SECONDS: Record<string, number> = {
  s: 1,
  sec: 1,
  secs: 1,
  second: 1,
  seconds: 1,
  m: 60,
  min: 60,
  mins: 60,
  minute: 60,
  minutes: 60,
  h: 3600,
  hr: 3600,
  hrs: 3600,
  hour: 3600,
  hours: 3600,
};

/** In seconds; null if it is no duration with units. */
export function parseDuration(text: string): number | null {
  const parts = [...text.trim().matchAll(/(\d+)\s*([a-z]+)\s*,?\s*/gy)];
  const read = parts.map((part) => part[0]).join("");
  if (parts.length === 0 || read.trim() !== text.trim()) return null;
  let sum = 0;
  for (const [, number, unit] of parts) {
    const seconds = SECONDS[unit ?? ""];
    if (seconds === undefined) return null;
    sum += Number(number) * seconds;
  }
  return sum;
}

/** In the form that {@link parseDuration} and the worker parse. */
export function writeDuration(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor((seconds % 3600) / 60), "m"],
    [seconds % 60, "s"],
  ].filter(([number]) => number !== 0);
  return parts.length === 0 ? "0s" : parts.map((part) => part.join("")).join(" ");
}

/** A running time: `2:13`, `1:02:13`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
