/** Rules that need a signal which cannot be read on this machine. */
import type { SignalKind, Sample, Status } from "../../api/types";
import { settingOf, valueOf } from "../settings";
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

type Read = { known: unknown } | { unknown: string } | { absent: string };

/** What each signal is read from; nothing for a device that is not lent. */
const READ: Record<SignalKind, (sample: Sample) => Read[]> = {
  user_idle: ({ user_idle }) => [user_idle],
  cpu_load: ({ cpu }) => [cpu],
  gpu_load: ({ gpu }) => ofGpu(gpu, ({ load }) => load),
  temperature: ({ cpu_celsius, gpu }) => [cpu_celsius, ...ofGpu(gpu, ({ celsius }) => celsius)],
  power: ({ power }) => [power],
  full_screen: ({ full_screen }) => [full_screen],
  programs: ({ programs }) => [programs],
};

type Gpu = Sample["gpu"];
type KnownGpu = Extract<NonNullable<Gpu>, { known: unknown }>["known"];

function ofGpu(gpu: Gpu, of: (gpu: KnownGpu) => Read): Read[] {
  if (gpu === null) return [];
  return ["known" in gpu ? of(gpu.known) : gpu];
}

/** Why a signal that the machine has cannot be read now; null if it can. */
function whyFailing(signal: SignalKind, sample: Sample): string | null {
  const failing = READ[signal](sample).find((read) => "unknown" in read);
  return failing && "unknown" in failing ? failing.unknown : null;
}

/** Why the machine does not have a signal; null if it does. The sensor of one device is enough. */
export function whyAbsent(signal: SignalKind, sample: Sample): string | null {
  const reads = READ[signal](sample);
  const [first] = reads;
  return first && "absent" in first && reads.every((read) => "absent" in read) ? first.absent : null;
}

/** What the rule of a key cannot see although it is on; null where it sees, or is off. */
export function blindness(key: string, status: Status): Blindness | null {
  const spec = specOf(key);
  if (status.sample === null || !spec?.signal || settingOf(status, key)?.no_signal != null) return null;
  const reason = whyFailing(spec.signal, status.sample) ?? whyAbsent(spec.signal, status.sample);
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

/** The signals that rules of some preset need and the machine does not have. */
export function missing({ sample, limits }: Status): SignalKind[] {
  if (sample === null) return [];
  const signals = limits.map(({ key }) => specOf(key)?.signal ?? null).filter((signal) => signal !== null);
  return signals.filter((signal) => whyAbsent(signal, sample) !== null);
}
