import type { Device, Diagnosis, LeverState, Machine, Sample, SignalSource } from "../../api/types";

export const GIB = 2 ** 30;

/** The hardware of the made-up machine. */
export interface Hardware {
  cores: number;
  memory: number;
  disk: number;
  gpu: { name: string; memory: number } | null;
}

export const DESKTOP: Hardware = {
  cores: 8,
  memory: 32 * GIB,
  disk: 512e9,
  gpu: { name: "RTX 4070", memory: 12 * GIB },
};

/** Figures as wide as they get. */
export const SERVER: Hardware = { cores: 128, memory: 1010 * GIB, disk: 9.9e12, gpu: null };

export const LAPTOP: Hardware = { cores: 8, memory: 16 * GIB, disk: 256e9, gpu: null };

export function machineOf({ cores, memory, disk, gpu }: Hardware): Machine {
  return { cores, memory, gpu_name: gpu?.name ?? null, gpu_memory: gpu?.memory ?? null, disk };
}

/** A signal that fails now, or that the machine does not have. */
export type Blind = { unknown: string } | { absent: string };
/** The signals that cannot be read on the machine. */
export type Blindness = Partial<Record<"temperature" | "full_screen" | "user_idle", Blind>>;

export function whyBlind(blind: Blind | undefined): string | null {
  if (blind === undefined) return null;
  return "absent" in blind ? blind.absent : blind.unknown;
}

export function devices(hardware: Hardware): Device[] {
  const cpu = {
    device: "cpu",
    name: "AMD Ryzen 7 5800X",
    detail: `${hardware.cores} cores, ${hardware.memory / GIB} GiB`,
  };
  if (hardware.gpu === null) {
    return [
      { ...cpu, lent: true, why_not: null },
      {
        device: null,
        name: "Intel Iris Xe",
        detail: "shares main memory",
        lent: false,
        why_not: "there is no build for this kind of graphics card",
      },
    ];
  }
  const gpu = { name: `NVIDIA GeForce ${hardware.gpu.name}`, detail: `${hardware.gpu.memory / GIB} GiB` };
  return [
    { device: "cuda:0", ...gpu, lent: true, why_not: null },
    { ...cpu, lent: false, why_not: null },
    {
      device: "cuda:1",
      name: "NVIDIA GeForce GT 710",
      detail: "2 GiB",
      lent: false,
      why_not: "its compute capability is 3.5, and 7.0 is the least",
    },
  ];
}

export function levers(): LeverState[] {
  return [
    { name: "scheduler", result: { Ok: "SCHED_IDLE" } },
    { name: "ioprio", result: { Ok: "idle" } },
    { name: "timer slack", result: { Ok: "1 ns" } },
    { name: "oom_score_adj", result: { Ok: "900" } },
    { name: "autogroup", result: { Err: "the session is shared with other programs" } },
  ];
}

export function diagnosis(hardware: Hardware, blindness: Blindness): Diagnosis {
  const source = (signal: keyof Blindness, from: string): SignalSource => {
    const [blind, why] = [blindness[signal], whyBlind(blindness[signal])];
    const needed = blind === undefined || "unknown" in blind;
    return { signal, source: why === null ? from : null, why_not: why, needed };
  };
  const read = (signal: string, from: string): SignalSource => ({ signal, source: from, why_not: null, needed: true });
  return {
    version: "0.4.0",
    system: "Debian GNU/Linux 13, Linux 6.18",
    devices: devices(hardware),
    signals: [
      source("user_idle", "the X11 screen saver extension"),
      source("full_screen", "the window manager's hints"),
      read("power", "/sys/class/power_supply"),
      source("temperature", hardware.gpu ? "k10temp and NVML" : "coretemp"),
      read("cpu", "/proc/stat"),
      read("memory", "/proc/meminfo"),
      ...(hardware.gpu ? [read("gpu", "NVML")] : []),
    ],
  };
}

/** A sample of the machine. `idle` is in seconds, loads are between 0 and 1, memory in bytes. */
export function sample(
  hardware: Hardware,
  blindness: Blindness,
  seen: { idle: number; cpu: [own: number, others: number]; gpu: [number, number]; memory: [number, number] },
): Sample {
  const [ownMemory, othersMemory] = seen.memory;
  const unless = <T>(blind: Blind | undefined, value: T) => blind ?? { known: value };
  return {
    cpu: { known: { total: seen.cpu[0] + seen.cpu[1], own: seen.cpu[0] } },
    memory: {
      known: { total: hardware.memory, available: hardware.memory * 0.58, own: 0.4 * GIB, pressure: { known: 0 } },
    },
    gpu: hardware.gpu && {
      known: {
        load: { known: { total: seen.gpu[0] + seen.gpu[1], own: seen.gpu[0] } },
        memory_total: hardware.gpu.memory,
        memory_used: ownMemory + othersMemory,
        memory_own: { known: ownMemory },
        celsius: { known: 52 + 26 * seen.gpu[0] },
        watts: { known: 24 + 165 * seen.gpu[0] },
      },
    },
    cpu_watts: { unknown: "the processor shows no energy meter" },
    cpu_celsius: unless(blindness.temperature, 48 + 30 * (seen.cpu[0] + seen.cpu[1])),
    power: { known: "mains" },
    user_idle: unless(blindness.user_idle, { secs: Math.floor(seen.idle), nanos: 0 }),
    full_screen: unless(blindness.full_screen, false),
    programs: { known: [] },
  };
}
