/** The limits on the page, with their groups and controls. */
import type { Setting, Status } from "../../api/types";
import { lendsGpu, settingOf, valueOf } from "../settings";
import { keepsHours } from "../when";
import type { SliderKey } from "./steps";

export type Group = "most" | "use" | "time" | "stop" | "store";
type SwitchKey = "on-battery" | "full-screen";

export type Row =
  | { control: "slider"; key: SliderKey }
  | { control: "switch"; key: SwitchKey; on: string; off: string }
  | { control: "when"; key: "when" }
  | { control: "schedule"; key: "schedule" }
  | { control: "programs"; key: "stop-for" };

const slider = (key: SliderKey): Row => ({ control: "slider", key });

const GROUPS: readonly [Group, readonly Row[]][] = [
  ["most", [slider("gpu"), slider("gpu-memory"), slider("cpu"), slider("memory"), slider("cpu-threads")]],
  [
    "use",
    [slider("gpu-in-use"), slider("cpu-in-use"), slider("idle-after"), slider("others-gpu"), slider("others-cpu")],
  ],
  [
    "time",
    [
      { control: "when", key: "when" },
      { control: "schedule", key: "schedule" },
      slider("daily-hours"),
      slider("daily-energy"),
    ],
  ],
  [
    "stop",
    [
      slider("max-temperature"),
      { control: "switch", key: "on-battery", on: "true", off: "false" },
      { control: "switch", key: "full-screen", on: "stop", off: "ignore" },
      { control: "programs", key: "stop-for" },
    ],
  ],
  ["store", [slider("disk"), slider("network")]],
];

const GPU_KEYS = new Set(["gpu", "gpu-in-use", "gpu-memory", "others-gpu"]);

export interface LimitRow {
  row: Row;
  setting: Setting;
}

/** The groups of the limits that apply to this machine and are not hidden by its policy. */
export function groups(status: Status): { group: Group; rows: LimitRow[] }[] {
  const byHours = keepsHours(valueOf(status, "when"));
  const applies = ({ key }: Row) => (!GPU_KEYS.has(key) || lendsGpu(status)) && (key !== "schedule" || byHours);
  return GROUPS.map(([group, rows]) => ({
    group,
    rows: rows.filter(applies).flatMap((row) => {
      const setting = settingOf(status, row.key);
      return setting && !setting.managed?.hidden ? [{ row, setting }] : [];
    }),
  })).filter(({ rows }) => rows.length > 0);
}
