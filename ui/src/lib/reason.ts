/** The reason of an allowance, in words. */
import type { Reason } from "../api/types";
import { words } from "../words";
import { civil } from "./time";
import { activeTime, celsius, energy, memory, share } from "./units";

const text = words.state.reasons;

export function reasonText(reason: Reason): string {
  switch (reason.kind) {
    case "free":
      return text.free;
    case "starting":
      return text.starting;
    case "paused":
      return reason.until ? text.pausedUntil(civil(reason.until.at, reason.until.today)) : text.paused;
    case "outside_schedule":
      return text.outsideSchedule;
    case "daily_hours":
      return text.dailyHours(activeTime(reason.limit));
    case "daily_energy":
      return text.dailyEnergy(energy(reason.limit));
    case "in_use":
      return text.inUse;
    case "others_cpu":
      return text.othersCpu(share(reason.load));
    case "others_gpu":
      return text.othersGpu(share(reason.load));
    case "room_cpu":
      return text.roomCpu(share(reason.load));
    case "room_gpu":
      return text.roomGpu(share(reason.load));
    case "battery":
      return text.battery(share(reason.charge));
    case "too_hot":
      return text.tooHot(celsius(reason.celsius), celsius(reason.limit));
    case "warm":
      return text.warm(celsius(reason.celsius), celsius(reason.limit));
    case "cooling":
      return text.cooling(celsius(reason.celsius), celsius(reason.resumes));
    case "program":
      return text.program(reason.name);
    case "full_screen":
      return text.fullScreen;
    case "unknown":
      return text.unknown(words.state.signals[reason.signal]);
    case "settling":
      return text.settling;
    case "climbing":
      return text.climbing;
    case "memory_short":
      return text.memoryShort(memory(reason.available));
    case "memory_pressure":
      return text.memoryPressure(share(reason.waiting));
    case "gpu_memory_short":
      return text.gpuMemoryShort(memory(reason.others));
  }
}
