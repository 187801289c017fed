/** The current signals of the machine, in words. */
import type { Sample } from "../api/types";
import { words } from "../words";
import { known } from "./charts";
import { clock } from "./duration";
import { celsius, memory, percent } from "./units";

const text = words.diagnostics.values;

/** The value of a signal, by its name in `diagnose`; null if it is unknown. `idle` is in seconds. */
export function signalValue(signal: string, sample: Sample, idle: number | null): string | null {
  const gpu = known(sample.gpu);
  switch (signal) {
    case "user_idle":
      return idle === null ? null : text.idle(clock(idle));
    case "full_screen": {
      const full = known(sample.full_screen);
      return full === null ? null : full ? text.fullScreen : text.notFullScreen;
    }
    case "power": {
      const power = known(sample.power);
      if (power === null) return null;
      return power === "mains" ? text.mains : text.battery(percent(power.battery.charge));
    }
    case "temperature": {
      const heats = [known(sample.cpu_celsius), known(gpu?.celsius ?? null)].filter((heat) => heat !== null);
      return heats.length === 0 ? null : celsius(Math.max(...heats));
    }
    case "cpu":
      return load(known(sample.cpu));
    case "memory": {
      const main = known(sample.memory);
      return main && text.memory(memory(main.available), memory(main.total));
    }
    case "gpu":
      return load(known(gpu?.load ?? null));
    default:
      return null;
  }
}

function load(load: { total: number; own: number } | null): string | null {
  return load && text.load(percent(load.total), percent(load.own));
}
