/** What the machine does, for whom and why: a headline and one sentence. */
import type { Reason } from "../../api/types";
import { memory, share, THIN } from "../../lib/units";

const blind = {
  user_idle: "whether somebody is there",
  cpu_load: "how much of the CPU other programs use",
  gpu_load: "how much of the GPU other programs use",
  temperature: "how hot the computer is",
  power: "whether the computer runs on its battery",
  full_screen: "whether a program fills the screen",
  programs: "which programs are running",
};

function reason(why: Reason, moment: (at: string, today: boolean) => string): string {
  switch (why.kind) {
    case "free":
      return "Nobody needs the computer";
    case "starting":
      return "Nothing was looked at yet";
    case "paused":
      return why.until ? `Until ${moment(why.until.at, why.until.today)}` : "Until you resume";
    case "outside_schedule":
      return "Outside the hours you lend";
    case "in_use":
      return "You are using the computer";
    case "others_cpu":
      return `Other programs use ${share(why.load)} of the CPU`;
    case "others_gpu":
      return `Other programs use ${share(why.load)} of the GPU`;
    case "room_cpu":
      return `Leaving room for other programs, which use ${share(why.load)} of the CPU`;
    case "room_gpu":
      return `Leaving room for other programs, which use ${share(why.load)} of the GPU`;
    case "battery":
      return `On battery, ${share(why.charge)} left`;
    case "too_hot":
      return `Too hot: ${why.celsius}${THIN}°C of at most ${why.limit}${THIN}°C`;
    case "warm":
      return `Getting hot: ${why.celsius}${THIN}°C of at most ${why.limit}${THIN}°C`;
    case "cooling":
      return `Cooling down: ${why.celsius}${THIN}°C, goes on at ${why.resumes}${THIN}°C`;
    case "program":
      return `${why.name} is running`;
    case "full_screen":
      return "A program fills the screen";
    case "unknown":
      return `This computer cannot tell ${blind[why.signal]}`;
    case "settling":
      return "Waiting for a moment of calm";
    case "climbing":
      return "Nobody needs the computer any more, so more is taken step by step";
    case "memory_short":
      return `Memory is short: ${memory(why.available)} left`;
    case "memory_pressure":
      return `Memory is short: programs wait for it ${share(why.waiting)} of the time`;
    case "gpu_memory_short":
      return `Other programs use ${memory(why.others)} of GPU memory`;
  }
}

export const state = {
  reason,
  blind,
  onDate: (time: string, date: string) => `${time} on ${date}`,
  pausedUntil: (moment: string) => `Paused until ${moment}`,
  headline: {
    not_joined: "Not joined to a grid",
    connecting: "Connecting",
    idle: "Ready",
    working: "Working",
    throttled: "Working, slowed down",
    stopped: "Stopped for now",
    paused: "Paused",
    finishing: "Finishing, then pausing",
    starting: "Starting",
    waiting: "The engine stopped",
    held: "Waiting for you",
    loading: "One moment",
    lost: "No answer from GoGrid",
  },
  /** A grid that has not told its name yet. */
  yourGrid: "your grid",
  layers: (count: number, model: string) => `${count} ${count === 1 ? "layer" : "layers"} of ${model}`,
  working: (work: string, grid: string) => `${work} for ${grid}.`,
  noStage: (grid: string) => `For ${grid}.`,
  because: (reason: string) => `${reason}.`,
  takes: (most: string) => `GoGrid takes up to ${most}.`,
  ofGpu: (part: string) => `${part} of the GPU`,
  idle: (grid: string) => `${grid} has nothing for this computer to do right now.`,
  notJoined: "Paste a join code on the Connection page to lend this computer.",
  connecting: (grid: string, problem: string | null) =>
    problem === null ? `Looking for ${grid}.` : `Looking for ${grid}: ${problem}. GoGrid keeps trying by itself.`,
  stopped: "GoGrid goes on by itself when that is over.",
  paused: "Nothing is computed.",
  finishing: "The answers in flight are finished first; no new ones are taken.",
  starting: "The part of GoGrid that computes is starting.",
  waiting: (seconds: number) => `The part of GoGrid that computes has ended. It starts again in ${seconds}${THIN}s.`,
  loading: "Asking what this computer does.",
};
