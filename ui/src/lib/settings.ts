/** The limits of a status by their keys. */
import type { Setting, Status } from "../api/types";
import { parsePercent } from "./value";

export function settingOf(status: Status, key: string): Setting | undefined {
  return status.limits.find((setting) => setting.key === key);
}

export function valueOf(status: Status, key: string): string {
  return settingOf(status, key)?.value ?? "";
}

/** A limit of a device's time as a part between 0 and 1. */
export function partOf(status: Status, key: string): number {
  return parsePercent(valueOf(status, key)) ?? 0;
}

export function lendsGpu(status: Status): boolean {
  return status.machine.gpu_name !== null;
}

/** Whether a reset to the preset changes a limit. A bound may hold both values at the same point. */
export function canReset(setting: Setting): boolean {
  return setting.changed && setting.key !== "preset" && setting.key !== "pause" && setting.value !== setting.default;
}
