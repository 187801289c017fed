/** The machine's state: a headline, and a sentence that says what it does, for whom and why. */
import { THIN } from "../../design/typography";

const blind = {
  user_idle: "whether somebody is there",
  cpu_load: "how much of the CPU other programs use",
  gpu_load: "how much of the GPU other programs use",
  temperature: "how hot the computer is",
  power: "whether the computer runs on its battery",
  full_screen: "whether a program fills the screen",
  programs: "which programs are running",
};

/** Why the machine may take what it takes. */
const reasons = {
  free: "Nobody needs the computer",
  starting: "Nothing was looked at yet",
  pausedUntil: (moment: string) => `Until ${moment}`,
  paused: "Until you resume",
  outsideSchedule: "Outside the hours you lend",
  inUse: "You are using the computer",
  othersCpu: (load: string) => `Other programs use ${load} of the CPU`,
  othersGpu: (load: string) => `Other programs use ${load} of the GPU`,
  roomCpu: (load: string) => `Leaving room for other programs, which use ${load} of the CPU`,
  roomGpu: (load: string) => `Leaving room for other programs, which use ${load} of the GPU`,
  battery: (charge: string) => `On battery, ${charge} left`,
  tooHot: (heat: string, limit: string) => `Too hot: ${heat} of at most ${limit}`,
  warm: (heat: string, limit: string) => `Getting hot: ${heat} of at most ${limit}`,
  cooling: (heat: string, resumes: string) => `Cooling down: ${heat}, goes on at ${resumes}`,
  program: (name: string) => `${name} is running`,
  fullScreen: "A program fills the screen",
  unknown: (what: string) => `This computer cannot tell ${what}`,
  settling: "Waiting for a moment of calm",
  climbing: "Nobody needs the computer any more, so more is taken step by step",
  memoryShort: (free: string) => `Memory is short: ${free} left`,
  memoryPressure: (waiting: string) => `Memory is short: programs wait for it ${waiting} of the time`,
  gpuMemoryShort: (others: string) => `Other programs use ${others} of GPU memory`,
};

export const state = {
  reasons,
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
