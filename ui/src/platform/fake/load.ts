/** The load of the made-up machine at any time: a pure function of its turns, so that charts of all ranges agree. */
import type { Point, State } from "../../api/types";
import { GIB, type Hardware } from "./hardware";

/** A change of what the machine may take. */
export interface Turn {
  /** Milliseconds since 1970. */
  at: number;
  state: State;
  /** Between 0 and 1. */
  cpu: number;
  gpu: number;
  kind: string;
  reason: string;
}

/** The limits that charts draw, between 0 and 1. */
export interface Bounds {
  cpu: number;
  gpu: number;
  memory: number;
}

/** Tokens per second of the whole device. */
const GPU_SPEED = 62;
const CPU_SPEED = 24;

/** A smooth function of the time, between -1 and 1. */
export function wave(seconds: number, seed: number): number {
  const part = (period: number, phase: number) => Math.sin((seconds * 2 * Math.PI) / period + phase * seed);
  return (part(17, 1) + part(7.3, 2.7) + part(61, 5.1)) / 3;
}

export function turnAt(turns: readonly Turn[], at: number): Turn | undefined {
  return turns.findLast((turn) => turn.at <= at);
}

export function load(turns: readonly Turn[], bounds: Bounds, hardware: Hardware, loaded: number, at: number): Point {
  const turn = turnAt(turns, at);
  const seconds = at / 1000;
  const busy = turn?.kind === "in_use" || turn?.kind === "program" ? 1 : 0;
  const computes = loaded > 0 && (turn?.state === "working" || turn?.state === "throttled");
  const gpu = computes && hardware.gpu ? turn.gpu * (0.94 + 0.04 * wave(seconds, 1)) : 0;
  // Beside a GPU the CPU only hands out work.
  const cpu = computes
    ? (hardware.gpu ? Math.min(turn.cpu, 0.055) : turn.cpu) * (0.95 + 0.05 * wave(seconds, 2))
    : 0.002;
  const memory = hardware.gpu?.memory ?? hardware.memory;
  return {
    at_ms: at,
    cpu,
    cpu_others: (busy ? 0.24 : 0.06) + (busy ? 0.08 : 0.02) * wave(seconds, 3),
    cpu_limit: bounds.cpu,
    gpu: hardware.gpu ? gpu : null,
    gpu_others: hardware.gpu ? (busy ? 0.22 : 0.03) + (busy ? 0.06 : 0.01) * wave(seconds, 4) : null,
    gpu_limit: hardware.gpu ? bounds.gpu : null,
    memory: loaded + (computes ? 0.18 * GIB * (1 + wave(seconds, 5)) : 0),
    memory_others: memory * (busy ? 0.21 : 0.18) + 0.05 * GIB * wave(seconds, 6),
    memory_limit: bounds.memory,
    cpu_allowed: turn ? turn.cpu : bounds.cpu,
    gpu_allowed: hardware.gpu ? (turn ? turn.gpu : bounds.gpu) : null,
    memory_allowed: bounds.memory,
    tokens_per_second: computes ? (hardware.gpu ? gpu * GPU_SPEED : cpu * CPU_SPEED) : 0,
  };
}
