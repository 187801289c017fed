/** The Now page. */
import { THIN } from "../../design/typography";

/** The newest figures of a chart, with units. */
interface Figure {
  ours: string;
  others: string | null;
  allowed: string | null;
  limit: string | null;
}

export const now = {
  title: "Now",
  charts: { gpu: "GPU", gpuMemory: "GPU memory", memory: "Memory", cpu: "CPU", tokens: "Text" },
  perSecond: "pieces per second",
  key: { ours: "GoGrid", others: "everything else", allowed: "allowed now", limit: "your limit" },
  range: { label: "How far back", minute: `60${THIN}s`, ten_minutes: `10${THIN}min`, day: `24${THIN}h` },
  ago: {
    minute: [`60${THIN}s ago`, `30${THIN}s`, "now"],
    ten_minutes: [`10${THIN}min ago`, `5${THIN}min`, "now"],
    day: [`24${THIN}h ago`, `12${THIN}h`, "now"],
  },
  /** Read out for a chart. */
  spoken: (name: string, { ours, others, allowed, limit }: Figure) =>
    [
      `${name}: GoGrid ${ours}`,
      others && `everything else ${others}`,
      allowed && `allowed now ${allowed}`,
      limit && `your limit ${limit}`,
    ]
      .filter(Boolean)
      .join(", "),
  at: (time: string) => `at ${time}`,
  /** In a chart, where GoGrid did not run. */
  gap: {
    ended: { long: "not running", short: "not running" },
    unexpected: { long: "ended unexpectedly", short: "cut off" },
  },
  collecting: "The chart begins with the next second.",
  why: {
    title: "Why it changed",
    empty: "Nothing has changed yet.",
    more: "Show all",
    less: "Show fewer",
    slowed: (to: string) => `Slowed to ${to}`,
    raised: (to: string) => `Raised to ${to}`,
    set: (to: string) => `Set to ${to}`,
    stays: (at: string) => `Stays at ${at}`,
    stopped: "Stopped",
    paused: "Paused",
    loaded: (model: string, time: string) => `Loaded a part of ${model} in ${time}`,
    seconds: (seconds: string) => `${seconds}${THIN}s`,
    short: `less than 0.1${THIN}s`,
    unloaded: (model: string) => `Gave back a part of ${model}`,
    started: "GoGrid started",
    startedAfter: (time: string) => `It had not run for ${time}`,
    ended: "GoGrid ended",
    failed: "GoGrid ended because of a problem",
    endedUnexpectedly: "GoGrid ended unexpectedly",
    endedUnexpectedlyWhy: "It was killed, it crashed, or the computer lost power. It was last seen at this time",
    connected: "Connected",
    disconnected: "Connection lost",
    joined: "Joined a grid",
    left: "Left the grid",
    revoked: "The grid does not let this computer in any more",
    limitsReset: "Your limits could not be read, so those of the preset hold",
    limitsKept: (reason: string, kept: string) => `${reason}. The file was kept as ${kept}`,
    ofGpu: (part: string) => `${part} of the GPU`,
    ofCpu: (part: string) => `${part} of the CPU`,
  },
  machine: {
    title: "On this computer",
    part: (model: string) => `A part of ${model}`,
    layersOf: (model: string) => `Layers of ${model}`,
    /** Counted from 0, as on the command line. */
    layers: (first: number, last: number) => (first === last ? `${first}` : `${first} to ${last}`),
    loading: "loading",
    noStages: "No model is loaded.",
    answers: "Answers right now",
    gpuHeat: "GPU temperature, power",
    cpuHeat: "CPU temperature",
    details: "Details",
    tokens: "Tokens per second, one a piece of text",
  },
  toJoin: "Join a grid",
};
