/** Rules whose signal cannot be read on this machine. */
import type { Blind, Sample, Status } from "../../api/types";
import { valueOf } from "../settings";
import { NONE, OFF } from "../value";
import { keepsHours, waitsForIdle, whenOf } from "../when";
import { mayBe } from "./bound";

export interface Blindness {
  signal: Blind;
  /** In the probe's words. */
  why: string;
  /** The change that turns the rule off; null if there is none, or the policy wants the rule on. */
  off: { key: string; value: string } | null;
}

type Read = { known: unknown } | { unknown: string };

const why = (signal: Read | null): string | null => (signal !== null && "unknown" in signal ? signal.unknown : null);

/** The rule of each key: its signal, and the value that turns the rule off. */
const RULES: Record<string, { signal: Blind; off: string; reads: (sample: Sample) => string | null }> = {
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

/** The signal that the rule of a key cannot read; null if it can, or if the rule is off. */
export function blindness(key: string, status: Status): Blindness | null {
  if (status.sample === null) return null;
  if (key === "idle-after") {
    const reason = why(status.sample.user_idle);
    const when = valueOf(status, "when");
    // The rule itself cannot be turned off, but work need not wait for it.
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
