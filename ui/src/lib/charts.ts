/** The words and figures of the Now page's charts. */
import type { Signal, Status } from "../api/types";
import { words } from "../words";
import type { Chart } from "./history";
import { lendsGpu, partOf, valueOf } from "./settings";
import { memory, percent, rate, share, steadyMemoryOf } from "./units";
import { parseAmount, resolve } from "./value";

/** The newest figures of a chart as text with units; null if there is none. */
export interface Figure {
  ours: string;
  others: string | null;
  /** What holds now: the limit or less. */
  allowed: string | null;
  /** The donor's limit. */
  limit: string | null;
}

/** The charts in order: the device that computes comes first. */
export function charts(status: Status): Chart[] {
  return lendsGpu(status) ? ["gpu", "memory", "cpu", "tokens"] : ["cpu", "memory", "tokens"];
}

export function name(chart: Chart, status: Status): string {
  const text = words.now.charts;
  return chart === "memory" && lendsGpu(status) ? text.gpuMemory : text[chart];
}

export function subtitle(chart: Chart, { machine }: Status): string {
  switch (chart) {
    case "gpu":
      return machine.gpu_name ?? "";
    case "memory": {
      const whole = machine.gpu_memory ?? machine.memory;
      return whole === null ? "" : memory(whole);
    }
    case "cpu":
      return words.units.cores(machine.cores);
    case "tokens":
      return words.now.perSecond;
  }
}

export function figure(chart: Chart, status: Status): Figure {
  const { allowance, machine, usage, sample } = status;
  switch (chart) {
    case "gpu": {
      const load = known(known(sample?.gpu ?? null)?.load ?? null);
      const limit = percent(partOf(status, "gpu"));
      return { ours: percent(usage.gpu ?? 0), others: rest(load), allowed: share(allowance.gpu), limit };
    }
    case "memory": {
      const ours = steadyMemoryOf(usage.ledger_bytes, usage.limit_bytes);
      const bytes = lendsGpu(status) ? machine.gpu_memory : machine.memory;
      const amount = parseAmount(valueOf(status, lendsGpu(status) ? "gpu-memory" : "memory"));
      const limit = bytes === null || amount === null ? null : memory(resolve(amount, bytes));
      return { ours, others: null, allowed: memory(usage.limit_bytes), limit };
    }
    case "cpu": {
      const load = known(sample?.cpu ?? null);
      const limit = percent(partOf(status, "cpu"));
      return { ours: percent(usage.cpu), others: rest(load), allowed: share(allowance.cpu), limit };
    }
    case "tokens":
      return { ours: rate(usage.tokens_per_second), others: null, allowed: null, limit: null };
  }
}

/** Formats a value of a chart. */
export function label(chart: Chart, value: number): string {
  if (chart === "tokens") return rate(value);
  return chart === "memory" ? memory(value) : percent(value);
}

/** A signal's value; null if it is unknown. */
export function known<T>(signal: Signal<T> | null): T | null {
  return signal !== null && "known" in signal ? signal.known : null;
}

function rest(load: { total: number; own: number } | null): string | null {
  return load && percent(Math.max(0, load.total - load.own));
}
