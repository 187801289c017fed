/** What a preset does on this machine, a line each: the card tells all of it. */
import { LIMIT_KEYS, type PresetValues } from "../../api/limit-keys";
import type { Status } from "../../api/types";
import { words } from "../../words";
import { parseDuration } from "../duration";
import { lendsGpu } from "../settings";
import { cores, exactPercent, memoryOf } from "../units";
import { OFF, parseAmount, parsePercent, pretty, resolve } from "../value";
import { waitsForIdle } from "../when";
import { whyAbsent } from "./blind";
import { duration } from "./example";
import type { LimitKey } from "./keys";

export type Preset = keyof PresetValues;

const text = words.limits.presetDoes;

export function presetLines(preset: Preset, status: Status): string[] {
  const value = (key: LimitKey): string => LIMIT_KEYS[key].presets[preset];
  return [away(value, status), inUse(value, status), memory(value, status), ...stops(value, status), network(value)];
}

type Value = (key: LimitKey) => string;

function away(value: Value, { machine, ...status }: Status): string {
  const most = [cores(part(value("cpu")), machine.cores)];
  if (lendsGpu({ machine, ...status })) most.unshift(words.state.ofGpu(exactPercent(part(value("gpu")))));
  return text.most(words.list(most));
}

function inUse(value: Value, status: Status): string {
  const blind = status.sample !== null && whyAbsent("user_idle", status.sample) !== null;
  if (waitsForIdle(value("when"))) {
    return blind ? text.cannotWork : text.onlyAway(duration(parseDuration(value("idle-after")) ?? 0));
  }
  if (value("cpu-in-use") === value("cpu")) return text.sameInUse;
  return (blind ? text.inUseByLoad : text.inUse)(
    lendsGpu(status)
      ? words.state.ofGpu(exactPercent(part(value("gpu-in-use"))))
      : cores(part(value("cpu-in-use")), status.machine.cores),
  );
}

function memory(value: Value, status: Status): string {
  const key = lendsGpu(status) ? "gpu-memory" : "memory";
  const whole = lendsGpu(status) ? status.machine.gpu_memory : status.machine.memory;
  const amount = parseAmount(value(key));
  const bytes =
    amount === null || whole === null ? pretty(value(key), "memory") : memoryOf(resolve(amount, whole), whole);
  return lendsGpu(status) ? text.gpuMemory(bytes) : text.memory(bytes);
}

/** What stops the work, what does not, and what the machine cannot tell. */
function stops(value: Value, { sample }: Status): string[] {
  const has = (signal: "temperature" | "full_screen") => sample === null || whyAbsent(signal, sample) === null;
  const heat = value("max-temperature") !== OFF && has("temperature");
  const screen = value("full-screen") === "stop" && has("full_screen");
  const battery = value("on-battery") !== "true";
  const causes = [
    battery ? text.battery : null,
    heat ? text.heat(pretty(value("max-temperature"))) : null,
    screen ? text.fullScreen : null,
  ].filter((cause) => cause !== null);
  const goesOn = [battery ? null : text.battery, value("full-screen") === "stop" ? null : text.fullScreen].filter(
    (cause) => cause !== null,
  );
  return [
    causes.length > 0 ? text.stops(words.either(causes)) : text.stopsNever,
    goesOn.length > 0 ? text.worksOn(words.list(goesOn)) : null,
  ].filter((line) => line !== null);
}

function network(value: Value): string {
  const speed = value("network");
  return speed === LIMIT_KEYS.network.off ? text.networkUnlimited : text.network(pretty(speed));
}

function part(value: string): number {
  return parsePercent(value) ?? 0;
}
