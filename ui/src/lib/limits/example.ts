/** The meaning of a limit on this machine. */
import type { Status } from "../../api/types";
import { words } from "../../words";
import { known } from "../charts";
import { parseDuration } from "../duration";
import { hoursOf, parseSchedule } from "../schedule";
import { lendsGpu } from "../settings";
import { celsius, cores, diskOf, energy, exactPercent, memory, memoryOf, milliseconds, disk, short } from "../units";
import {
  ALL,
  OFF,
  parseAmount,
  parseCelsius,
  parseEnergy,
  parsePercent,
  parsePrograms,
  parseSpeed,
  resolve,
} from "../value";

const text = words.examples;
const units = words.units;

/** A model that fits many machines. */
const MODEL_BYTES = 4e9;

/** The value of any limit, with pending changes. */
export type Values = (key: string) => string;

export function example(key: string, values: Values, status: Status): string {
  const value = values(key);
  const { machine } = status;
  const part = (of: string) => parsePercent(values(of)) ?? 0;
  switch (key) {
    case "cpu":
      return text.cpu(cores(part(key), machine.cores));
    case "cpu-threads":
      return value === ALL
        ? text.threadsAll(units.cores(machine.cores))
        : text.threads(Number(value), units.cores(machine.cores));
    case "cpu-in-use":
      if (part(key) === 0) return text.nothingInUse;
      return part(key) > part("cpu")
        ? text.capped(exactPercent(part("cpu")))
        : text.cpuInUse(cores(part(key), machine.cores));
    case "gpu":
      return text.gpu(milliseconds(part(key) * 1000));
    case "gpu-in-use":
      if (part(key) === 0) return text.nothingInUse;
      return part(key) > part("gpu")
        ? text.capped(exactPercent(part("gpu")))
        : text.gpuInUse(milliseconds(part(key) * 1000));
    case "gpu-memory":
      return memoryExample(value, machine.gpu_memory, text.memory);
    case "memory":
      return memoryExample(value, machine.memory, lendsGpu(status) ? text.memoryBeside : text.memoryCpu);
    case "disk":
      return diskExample(value, machine.disk);
    case "network":
      return networkExample(value);
    case "idle-after":
      return text.idleAfter(duration(parseDuration(value) ?? 0));
    case "others-cpu": {
      if (value === OFF) return text.othersOff;
      return others(cores(part(key), machine.cores), part("cpu-in-use"), (left) => cores(left, machine.cores));
    }
    case "others-gpu": {
      const ofGpu = (share: number) => words.state.ofGpu(exactPercent(share));
      return value === OFF ? text.othersOff : others(ofGpu(part(key)), part("gpu-in-use"), exactPercent);
    }
    case "max-temperature":
      return temperatureExample(value, status);
    case "on-battery":
      return value === "true" ? text.batteryYes : text.batteryNo;
    case "full-screen":
      return value === "stop" ? text.fullScreenStop : text.fullScreenIgnore;
    case "stop-for": {
      const names = parsePrograms(value);
      return names.length === 0 ? text.programsNone : text.programs(words.either(names));
    }
    case "schedule":
      return text.hours(units.hours(short(hoursOf(parseSchedule(value) ?? []))));
    case "daily-hours":
      return value === OFF ? text.dailyHoursOff : text.dailyHours(duration(parseDuration(value) ?? 0));
    case "daily-energy":
      return value === OFF ? text.dailyEnergyOff : text.dailyEnergy(energy(parseEnergy(value) ?? 0));
    case "when":
      return whenExample(value, values, status);
    default:
      return "";
  }
}

function memoryExample(value: string, whole: number | null, say: (part: string, rest: string) => string): string {
  const amount = parseAmount(value);
  if (amount === null || whole === null) return "";
  const bytes = resolve(amount, whole);
  return bytes === 0 ? text.noMemory : say(memoryOf(bytes, whole), memory(whole - bytes));
}

function diskExample(value: string, whole: number | null): string {
  const amount = parseAmount(value);
  if (amount === null) return "";
  if (whole !== null) return text.disk(diskOf(resolve(amount, whole), whole));
  return Number.isFinite(amount.bytes) ? text.disk(disk(amount.bytes)) : "";
}

function networkExample(value: string): string {
  const speed = parseSpeed(value);
  return speed === null ? text.networkUnlimited : text.network(duration(Math.ceil(MODEL_BYTES / speed / 60) * 60));
}

function others(load: string, inUse: number, say: (part: number) => string): string {
  return inUse === 0 ? text.othersStop(load) : text.others(load, say(inUse));
}

function temperatureExample(value: string, { sample }: Status): string {
  const limit = value === OFF ? null : parseCelsius(value);
  const gpu = known(known(sample?.gpu ?? null)?.celsius ?? null);
  const heats = [known(sample?.cpu_celsius ?? null), gpu].filter((heat) => heat !== null);
  const now = heats.length === 0 ? "" : ` ${text.temperatureNow(celsius(Math.max(...heats)))}`;
  return (limit === null ? text.temperatureOff : text.temperature(celsius(limit))) + now;
}

function whenExample(value: string, values: Values, status: Status): string {
  const away = duration(parseDuration(values("idle-after")) ?? 0);
  if (value === "idle") return text.whenIdle(away);
  if (value === "idle-in-schedule") return text.whenIdleInSchedule(away);
  const part = (key: string) => parsePercent(values(key)) ?? 0;
  const inUse = lendsGpu(status)
    ? words.state.ofGpu(exactPercent(part("gpu-in-use")))
    : cores(part("cpu-in-use"), status.machine.cores);
  return value === "schedule" ? text.whenSchedule(inUse) : text.whenAlways(inUse);
}

/** In the largest unit that is whole: `3 minutes`. */
export function duration(seconds: number): string {
  if (seconds >= 7200 || seconds === 3600) return units.hours(short(seconds / 3600));
  return seconds >= 60 ? units.minutes(Number(short(seconds / 60))) : units.seconds(seconds);
}
