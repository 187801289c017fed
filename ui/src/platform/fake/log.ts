import type { LogFilter, LogLine } from "../../api/types";

const LEVELS = ["error", "warn", "info", "debug"];

type Line = [secondsAgo: number, level: string, text: string];

const WORKER: Line[] = [
  [5400, "INFO", "gogrid::worker: version 0.4.0, device cuda:0"],
  [5399, "WARN", "gogrid_probe::levers: autogroup: the session is shared with other programs"],
  [5398, "INFO", "gogrid_engine::grid: connected to Example Grid"],
  [5390, "INFO", "gogrid_engine::stages: loading layers 12 to 23 of Qwen3-8B, epoch 41"],
  [5381, "INFO", "gogrid_engine::stages: loaded in 9.1 s, 2.4 GiB"],
  [5000, "DEBUG", "gogrid_engine::executor: slice of 6 units, 7.1 ms"],
  [3000, "INFO", "gogrid_engine::governor: gpu 60 % to 0 %: blender is running"],
  [1300, "INFO", "gogrid_engine::governor: gpu 0 % to 60 %: Nothing holds GoGrid back"],
  [900, "WARN", "gogrid_engine::link: stage link to office-3 was lost, connecting again"],
  [899, "INFO", "gogrid_engine::link: stage link to office-3 is up"],
  [24, "INFO", "gogrid_engine::governor: gpu 60 % to 15 %: You are using the computer"],
  [3, "DEBUG", "gogrid_engine::executor: slice of 5 units, 6.4 ms"],
];

const APP: Line[] = [
  [5401, "INFO", "gogrid_desktop: version 0.4.0"],
  [5401, "INFO", "gogrid_desktop::secrets: the key lies in the system's key store"],
  [5400, "INFO", "gogrid_desktop::worker: started gogrid-cuda, process 4711"],
  [60, "INFO", "gogrid_desktop::window: opened"],
];

export function log(filter: LogFilter, now: number): LogLine[] {
  const most = LEVELS.indexOf(filter.level);
  return (filter.of === "app" ? APP : WORKER)
    .filter(([, level]) => LEVELS.indexOf(level.toLowerCase()) <= most)
    .map(([ago, level, text]) => ({ at: new Date(now - ago * 1000).toISOString(), level, text }))
    .filter(({ text }) => text.toLowerCase().includes(filter.text.toLowerCase()));
}
