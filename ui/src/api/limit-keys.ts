// Made from crates/panel-api by its test `typescript`; do not edit.
import type { SignalKind } from "./types";

/**
 * A key as the page needs it: what it takes and which of two values is stricter.
 */
export type KeySpec = { 
/**
 * What it does, in a line.
 */
help: string, 
/**
 * The values that it takes, for people.
 */
range: string, 
/**
 * The values that it takes.
 */
values: ValueKind, 
/**
 * The word that turns the rule off or lifts the limit; null where no word does.
 */
off: string | null, 
/**
 * Which of two values is stricter; null where the donor alone decides.
 */
bound: BoundKind | null, 
/**
 * The value that lends most: as a bound it leaves every choice. Null where the donor alone decides.
 */
laxest: string | null, 
/**
 * The signal that the rule needs while it is on.
 */
signal: SignalKind | null, 
/**
 * The value of each preset.
 */
presets: PresetValues, };

/**
 * What the values of a key are, with their range.
 */
export type ValueKind = { "kind": "percent", 
/**
 * The smallest.
 */
least: number, } | { "kind": "count", 
/**
 * The smallest.
 */
least: number, 
/**
 * The largest.
 */
most: number, } | { "kind": "amount", 
/**
 * The total.
 */
of: Total, } | { "kind": "speed", 
/**
 * The smallest.
 */
least: number, } | { "kind": "duration", 
/**
 * The shortest.
 */
least: number, 
/**
 * The longest.
 */
most: number, } | { "kind": "energy", 
/**
 * The least.
 */
least: number, 
/**
 * The most.
 */
most: number, } | { "kind": "celsius", 
/**
 * The lowest.
 */
least: number, 
/**
 * The highest.
 */
most: number, } | { "kind": "flag" } | { "kind": "word", 
/**
 * All of them.
 */
words: readonly string[], } | { "kind": "hours" } | { "kind": "programs", 
/**
 * The longest list.
 */
most: number, } | { "kind": "pause" };

/**
 * What an amount is a share of. The names are those of the page's `Machine`.
 */
export type Total = "gpu_memory" | "memory" | "disk";

/**
 * How a policy bounds a key. A policy may write `fixed` for the other two as well: the bound is then also the donor's
 * first value.
 */
export type BoundKind = "most" | "least" | "fixed";

/**
 * A key's value in each preset.
 */
export type PresetValues = { 
/**
 * In `quiet`.
 */
quiet: string, 
/**
 * In `balanced`.
 */
balanced: string, 
/**
 * In `full`.
 */
full: string, };

/**
 * Every limit, in the order in which they are shown.
 */
export const LIMIT_KEYS = {
  "preset": {
    "help": "The limits to start from; choosing one undoes every change but a pause",
    "range": "quiet, balanced or full",
    "values": {
      "kind": "word",
      "words": [
        "quiet",
        "balanced",
        "full"
      ]
    },
    "off": null,
    "bound": null,
    "laxest": null,
    "signal": null,
    "presets": {
      "quiet": "quiet",
      "balanced": "balanced",
      "full": "full"
    }
  },
  "cpu": {
    "help": "Most of all cores' time",
    "range": "1 to 100 %",
    "values": {
      "kind": "percent",
      "least": 1
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "25%",
      "balanced": "50%",
      "full": "100%"
    }
  },
  "cpu-threads": {
    "help": "Most threads that compute",
    "range": "1 to 1024, or all",
    "values": {
      "kind": "count",
      "least": 1,
      "most": 1024
    },
    "off": "all",
    "bound": "most",
    "laxest": "all",
    "signal": null,
    "presets": {
      "quiet": "all",
      "balanced": "all",
      "full": "all"
    }
  },
  "cpu-in-use": {
    "help": "Most of all cores' time while somebody is there; never more than cpu",
    "range": "0 to 100 %",
    "values": {
      "kind": "percent",
      "least": 0
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "0%",
      "balanced": "10%",
      "full": "100%"
    }
  },
  "gpu": {
    "help": "Most of the GPU's time",
    "range": "1 to 100 %",
    "values": {
      "kind": "percent",
      "least": 1
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "40%",
      "balanced": "60%",
      "full": "100%"
    }
  },
  "gpu-in-use": {
    "help": "Most of the GPU's time while somebody is there; never more than gpu",
    "range": "0 to 100 %",
    "values": {
      "kind": "percent",
      "least": 0
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "0%",
      "balanced": "15%",
      "full": "100%"
    }
  },
  "gpu-memory": {
    "help": "Most GPU memory",
    "range": "0 to 100 % with its sign, or bytes as in 4GiB or 500MB",
    "values": {
      "kind": "amount",
      "of": "gpu_memory"
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "50%",
      "balanced": "60%",
      "full": "90%"
    }
  },
  "memory": {
    "help": "Most main memory",
    "range": "0 to 100 % with its sign, or bytes as in 4GiB or 500MB",
    "values": {
      "kind": "amount",
      "of": "memory"
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "25%",
      "balanced": "50%",
      "full": "50%"
    }
  },
  "disk": {
    "help": "Most of the disk, for weights",
    "range": "0 to 100 % with its sign, or bytes as in 40GiB or 100GB",
    "values": {
      "kind": "amount",
      "of": "disk"
    },
    "off": null,
    "bound": "most",
    "laxest": "100%",
    "signal": null,
    "presets": {
      "quiet": "10%",
      "balanced": "20%",
      "full": "50%"
    }
  },
  "network": {
    "help": "Most network traffic for weights",
    "range": "1kB/s or more, as in 500kB/s or 10MB/s, or unlimited",
    "values": {
      "kind": "speed",
      "least": 1000
    },
    "off": "unlimited",
    "bound": "most",
    "laxest": "unlimited",
    "signal": null,
    "presets": {
      "quiet": "2MB/s",
      "balanced": "10MB/s",
      "full": "unlimited"
    }
  },
  "when": {
    "help": "When to work: always, only while nobody is there, in the hours of the schedule, or where both allow it",
    "range": "always, idle, schedule or idle-in-schedule",
    "values": {
      "kind": "word",
      "words": [
        "always",
        "idle",
        "schedule",
        "idle-in-schedule"
      ]
    },
    "off": null,
    "bound": "fixed",
    "laxest": "always",
    "signal": null,
    "presets": {
      "quiet": "idle",
      "balanced": "always",
      "full": "always"
    }
  },
  "idle-after": {
    "help": "Without input for so long the user counts as away",
    "range": "1s to 24h, as in 90s, 3m or 1h 30m",
    "values": {
      "kind": "duration",
      "least": 1,
      "most": 86400
    },
    "off": null,
    "bound": "least",
    "laxest": "1s",
    "signal": "user_idle",
    "presets": {
      "quiet": "10m",
      "balanced": "3m",
      "full": "3m"
    }
  },
  "schedule": {
    "help": "The hours to work in if when names the schedule, in local time",
    "range": "days with or without hours, on the quarter, as in mon-fri 18:00-08:00, sat-sun; or none",
    "values": {
      "kind": "hours"
    },
    "off": null,
    "bound": "most",
    "laxest": "mon-sun",
    "signal": null,
    "presets": {
      "quiet": "mon-sun 22:00-07:00",
      "balanced": "mon-sun 22:00-07:00",
      "full": "mon-sun"
    }
  },
  "daily-hours": {
    "help": "Most time in which something is computed, a day",
    "range": "15m to 24h, as in 45m, 4h or 2h 30m, or off",
    "values": {
      "kind": "duration",
      "least": 900,
      "most": 86400
    },
    "off": "off",
    "bound": "most",
    "laxest": "off",
    "signal": null,
    "presets": {
      "quiet": "off",
      "balanced": "off",
      "full": "off"
    }
  },
  "daily-energy": {
    "help": "Most energy for what is computed, a day",
    "range": "1Wh to 100kWh, as in 500Wh or 1.5kWh, or off",
    "values": {
      "kind": "energy",
      "least": 1,
      "most": 100000
    },
    "off": "off",
    "bound": "most",
    "laxest": "off",
    "signal": null,
    "presets": {
      "quiet": "off",
      "balanced": "off",
      "full": "off"
    }
  },
  "on-battery": {
    "help": "Work while the machine runs on its battery",
    "range": "true or false",
    "values": {
      "kind": "flag"
    },
    "off": null,
    "bound": "fixed",
    "laxest": "true",
    "signal": "power",
    "presets": {
      "quiet": "false",
      "balanced": "false",
      "full": "true"
    }
  },
  "max-temperature": {
    "help": "Stop above this temperature of the CPU or GPU",
    "range": "40 to 110 °C, or off",
    "values": {
      "kind": "celsius",
      "least": 40,
      "most": 110
    },
    "off": "off",
    "bound": "most",
    "laxest": "off",
    "signal": "temperature",
    "presets": {
      "quiet": "75°C",
      "balanced": "85°C",
      "full": "95°C"
    }
  },
  "others-cpu": {
    "help": "Somebody counts as there while other programs use more of all cores' time",
    "range": "1 to 100 %, or off",
    "values": {
      "kind": "percent",
      "least": 1
    },
    "off": "off",
    "bound": "most",
    "laxest": "off",
    "signal": "cpu_load",
    "presets": {
      "quiet": "10%",
      "balanced": "25%",
      "full": "off"
    }
  },
  "others-gpu": {
    "help": "Somebody counts as there while other programs use more of the GPU's time",
    "range": "1 to 100 %, or off",
    "values": {
      "kind": "percent",
      "least": 1
    },
    "off": "off",
    "bound": "most",
    "laxest": "off",
    "signal": "gpu_load",
    "presets": {
      "quiet": "5%",
      "balanced": "10%",
      "full": "off"
    }
  },
  "stop-for": {
    "help": "Stop while one of these programs runs",
    "range": "up to 32 names with commas between, as in blender, steam; or none",
    "values": {
      "kind": "programs",
      "most": 32
    },
    "off": null,
    "bound": "least",
    "laxest": "none",
    "signal": "programs",
    "presets": {
      "quiet": "none",
      "balanced": "none",
      "full": "none"
    }
  },
  "full-screen": {
    "help": "What to do while a program fills the screen",
    "range": "stop or ignore",
    "values": {
      "kind": "word",
      "words": [
        "stop",
        "ignore"
      ]
    },
    "off": null,
    "bound": "fixed",
    "laxest": "ignore",
    "signal": "full_screen",
    "presets": {
      "quiet": "stop",
      "balanced": "stop",
      "full": "ignore"
    }
  },
  "pause": {
    "help": "Compute nothing: on until it is turned off, or until an instant",
    "range": "off, on, or an instant with its offset, as in 2030-06-15T14:30:00+02:00",
    "values": {
      "kind": "pause"
    },
    "off": "off",
    "bound": null,
    "laxest": null,
    "signal": null,
    "presets": {
      "quiet": "off",
      "balanced": "off",
      "full": "off"
    }
  },
} as const satisfies Record<string, KeySpec>;
