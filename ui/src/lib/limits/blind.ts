/** Rules that need a signal which cannot be read on this machine. */
import type { SignalKind, Sample, Status } from "../../api/types";
import { valueOf } from "../settings";
import { keepsHours, waitsForIdle, whenOf } from "../when";
import { mayBe } from "./bound";
import { specOf } from "./keys";

export interface Blindness {
  signal: SignalKind;
  /** In the probe's words. */
  why: string;
  /** The change that turns the rule off; null if there is none, or if the policy wants the rule on. */
  off: { key: string; value: string } | null;
}

type Read = { known: unknown } | { unknown: string };

const why = (signal: Read | null): string | null => (signal !== null && "unknown" in signal ? signal.unknown : null);

/** Why each signal cannot be read; null where it can. */
const UNREADABLE: Record<SignalKind, (sample: Sample) => string | null> = {
  user_idle: ({ user_idle }) => why(user_idle),
  cpu_load: ({ cpu }) => why(cpu),
  gpu_load: ({ gpu }) => (gpu && "known" in gpu ? why(gpu.known.load) : why(gpu)),
  temperature: ({ cpu_celsius, gpu }) =>
    why(cpu_celsius) ?? (gpu && "known" in gpu ? why(gpu.known.celsius) : why(gpu)),
  power: ({ power }) => why(power),
  full_screen: ({ full_screen }) => why(full_screen),
  programs: ({ programs }) => why(programs),
};

/** What the rule of a key cannot see; null where it sees, or is off. */
export function blindness(key: string, status: Status): Blindness | null {
  const spec = specOf(key);
  if (status.sample === null || !spec?.signal) return null;
  const reason = UNREADABLE[spec.signal](status.sample);
  if (reason === null) return null;
  if (key === "idle-after") {
    const when = valueOf(status, "when");
    // The rule itself cannot be turned off, but work need not wait for what cannot be seen.
    const off = waitsForIdle(when) ? { key: "when", value: whenOf(false, keepsHours(when)) } : null;
    return { signal: spec.signal, why: reason, off: left(off, status) };
  }
  // With the value that lends most, a rule takes nothing and needs no signal.
  if (spec.laxest === null || valueOf(status, key) === spec.laxest) return null;
  return { signal: spec.signal, why: reason, off: left({ key, value: spec.laxest }, status) };
}

function left(off: Blindness["off"], status: Status): Blindness["off"] {
  return off && mayBe(status, off.key, off.value) ? off : null;
}
