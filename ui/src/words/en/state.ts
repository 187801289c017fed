/** The machine's state: a headline, and a sentence that says what it does, for whom and why. */
import { THIN } from "../../design/typography";

/** Signals as the subject of a sentence. */
const signals = {
  user_idle: "The time since the last input",
  cpu_load: "Other programs' CPU load",
  gpu_load: "Other programs' GPU load",
  temperature: "Heat",
  power: "The power supply",
  full_screen: "Whether a program fills the screen",
  programs: "The list of running programs",
};

/** What a computer that lacks a signal does not tell. */
const untold = {
  user_idle: "when you are away",
  cpu_load: "how much of the CPU other programs use",
  gpu_load: "how much of the GPU other programs use",
  temperature: "how hot it is",
  power: "whether it runs on its battery",
  full_screen: "whether a program fills the screen",
  programs: "which programs are running",
};

/** Why the machine may take what it takes. */
const reasons = {
  free: "Nothing holds GoGrid back",
  starting: "Nothing was looked at yet",
  pausedUntil: (moment: string) => `Until ${moment}`,
  paused: "Until you resume",
  outsideSchedule: "Outside the hours you lend",
  dailyHours: (time: string) => `Today's ${time} of work are used up`,
  dailyEnergy: (energy: string) => `Today's ${energy} are used up`,
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
  unknown: (what: string) => `${what} cannot be read, so GoGrid stays at its in-use limit`,
  unknownAway: (what: string) => `${what} cannot be read, so GoGrid does not know when you are away`,
  settling: "Waiting for a moment of calm",
  climbing: "Nothing holds GoGrid back any more, so more is taken step by step",
  memoryShort: (free: string) => `Memory is short: ${free} left`,
  memoryPressure: (waiting: string) => `Memory is short: programs wait for it ${waiting} of the time`,
  gpuMemoryShort: (others: string) => `Other programs use ${others} of GPU memory`,
};

export const state = {
  reasons,
  signals,
  untold,
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
  working: (models: string, grid: string) => `Computes a part of ${models} for ${grid}.`,
  noStage: (grid: string) => `For ${grid}.`,
  because: (reason: string) => `${reason}.`,
  takes: (most: string) => `GoGrid takes up to ${most}.`,
  ofGpu: (part: string) => `${part} of the GPU`,
  idle: (grid: string) => `${grid} has nothing for this computer to do right now.`,
  notJoined: "This computer lends nothing before it has joined.",
  connecting: (grid: string, problem: string | null) =>
    problem === null ? `Looking for ${grid}.` : `Looking for ${grid}: ${problem}. GoGrid keeps trying by itself.`,
  stopped: "GoGrid goes on by itself when that is over.",
  paused: "Nothing is computed.",
  finishing: "The answers in flight are finished first; no new ones are taken.",
  starting: "The part of GoGrid that computes is starting.",
  waiting: (seconds: number) => `The part of GoGrid that computes has ended. It starts again in ${seconds}${THIN}s.`,
  loading: "Asking what this computer does.",
};
