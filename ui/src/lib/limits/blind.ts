/** Rules that need a signal which cannot be read on this machine. */
import type { SignalKind, Sample, Status } from "../../api/types";
import { valueOf } from "../settings";
import { NONE, OFF } from "../value";
import { keepsHours, waitsForIdle, whenOf } from "../when";
import { mayBe } from "./bound";

export interface Blindness {
  signal: SignalKind;
  /** In the probe's words. */
  why: string;
  /** What turns the rule off; null where nothing does, or whoever manages the machine wants it on. */
  off: { key: string; value: string } | null;
}

type Read = { known: unknown } | { unknown: string };

const why = (signal: Read | null): string | null => (signal !== null && "unknown" in signal ? signal.unknown : null);

/** The rule of each key: what it needs, and the value with which it needs nothing. */
const RULES: Record<string, { signal: SignalKind; off: string; reads: (sample: Sample) => string | null }> = {
  "others-cpu": { signal: "cpu_load", off: OFF, reads: ({ cpu }) => why(cpu) },
  "others-gpu": {
    signal: "gpu_load",
    off: OFF,
    reads: ({ gpu }) => (gpu && "known" in gpu ? why(gpu.known.load) : why(gpu)),
  },
  "max-temperature": {
    signal: "temperature",
    off: OFF,
    reads: ({ cpu_celsius, gpu }) => why(cpu_celsius) ?? (gpu && "known" in gpu ? why(gpu.known.celsius) : why(gpu)),
  },
  "on-battery": { signal: "power", off: "true", reads: ({ power }) => why(power) },
  "full-screen": { signal: "full_screen", off: "ignore", reads: ({ full_screen }) => why(full_screen) },
  "stop-for": { signal: "programs", off: NONE, reads: ({ programs }) => why(programs) },
};

/** What the rule of a key cannot see; null where it sees, or is off. */
export function blindness(key: string, status: Status): Blindness | null {
  if (status.sample === null) return null;
  if (key === "idle-after") {
    const reason = why(status.sample.user_idle);
    const when = valueOf(status, "when");
    // The rule itself cannot be turned off, but work need not wait for what cannot be seen.
    const off = waitsForIdle(when) ? { key: "when", value: whenOf(false, keepsHours(when)) } : null;
    return reason === null ? null : { signal: "user_idle", why: reason, off: left(off, status) };
  }
  const rule = RULES[key];
  const reason = rule?.reads(status.sample) ?? null;
  if (!rule || reason === null || valueOf(status, key) === rule.off) return null;
  return { signal: rule.signal, why: reason, off: left({ key, value: rule.off }, status) };
}

function left(off: Blindness["off"], status: Status): Blindness["off"] {
  return off && mayBe(status, off.key, off.value) ? off : null;
}
