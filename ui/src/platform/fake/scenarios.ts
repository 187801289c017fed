/** The states of the made-up machine, by name. */
import type { AppState, KeyStore, Managed, Process, State } from "../../api/types";
import { DESKTOP, LAPTOP, SERVER, type Blindness, type Hardware } from "./hardware";

/** What the machine may take, from this many seconds ago on. */
export interface Phase {
  ago: number;
  state: State;
  kind: string;
  reason: string;
}

export interface Scenario {
  /** For the gallery's list. */
  title: string;
  hardware: Hardware;
  worker: Process;
  keyStore: KeyStore;
  joined: boolean;
  connected: boolean;
  phases: Phase[];
  /** Whether a model is loaded and computes. */
  works: boolean;
  blindness: Blindness;
  managed: Record<string, Managed>;
  /** Limits that the donor has changed. */
  chosen: Record<string, string>;
  hasHistory: boolean;
  /** The key that the grid's API asks for. */
  gridKey: string | null;
  /** Whether a movement of the pointer over the page counts as use of the computer. */
  noticesUser: boolean;
  /** `never`: the shell is silent; `refuses`: every request fails but those that give the state. */
  answers: "normal" | "never" | "refuses";
  app: Partial<Pick<AppState, "notices" | "update" | "offered_code">> & { welcomed?: boolean };
}

const HOUR = 3600;
const DAY: Phase[] = [
  { ago: 26 * HOUR, state: "working", kind: "free", reason: "Nothing holds GoGrid back" },
  { ago: 15.5 * HOUR, state: "throttled", kind: "in_use", reason: "You are using the computer" },
  { ago: 11 * HOUR, state: "working", kind: "free", reason: "Nothing holds GoGrid back" },
  { ago: 5.6 * HOUR, state: "throttled", kind: "in_use", reason: "You are using the computer" },
  { ago: 50 * 60, state: "stopped", kind: "program", reason: "blender is running" },
  { ago: 22 * 60, state: "working", kind: "free", reason: "Nothing holds GoGrid back" },
];
export const IN_USE: Phase = { ago: 24, state: "throttled", kind: "in_use", reason: "You are using the computer" };

const usual: Scenario = {
  title: "Working",
  hardware: DESKTOP,
  worker: { process: "running", build: "cuda", fallback: null },
  keyStore: { store: "system" },
  joined: true,
  connected: true,
  phases: DAY,
  works: true,
  blindness: {},
  managed: {},
  chosen: {},
  hasHistory: true,
  gridKey: null,
  noticesUser: false,
  answers: "normal",
  app: {},
};

function now(state: State, kind: string, reason: string, ago = 20): Phase[] {
  return [...DAY, { ago, state, kind, reason }];
}

export const SCENARIOS = {
  throttled: { ...usual, title: "Working, slowed down", phases: [...DAY, IN_USE] },
  working: usual,
  idle: { ...usual, title: "Ready, nothing to do", phases: now("idle", "free", "Nothing holds GoGrid back", 300) },
  laptop: {
    ...usual,
    title: "Without a GPU, a newer version, one notice",
    hardware: LAPTOP,
    worker: { process: "running", build: "cpu", fallback: "the NVIDIA driver is not installed" },
    app: {
      update: "0.5.0",
      notices: [
        { id: 1, text: "The settings file could not be read and was set aside as settings.broken-2026-11-25.toml." },
      ],
    },
  },
  wide: {
    ...usual,
    title: "Wide figures",
    hardware: SERVER,
    worker: { process: "running", build: "cpu", fallback: null },
  },
  keyed: { ...usual, title: "A grid that asks for a key", gridKey: "gg-example" },
  stopped: { ...usual, title: "Stopped by a program", phases: now("stopped", "program", "blender is running") },
  blind: {
    ...usual,
    title: "Signals that fail",
    hardware: LAPTOP,
    worker: { process: "running", build: "cpu", fallback: null },
    phases: now("throttled", "unknown", "Heat cannot be read: no CPU sensor answers"),
    blindness: {
      temperature: { unknown: "no CPU sensor answers" },
      full_screen: { unknown: "the X server does not answer" },
      user_idle: { unknown: "no display server answers" },
    },
  },
  noticing: {
    ...usual,
    title: "A signal fails, until somebody is there",
    hardware: LAPTOP,
    worker: { process: "running", build: "cpu", fallback: null },
    phases: now("throttled", "unknown", "Heat cannot be read: no CPU sensor answers"),
    blindness: { temperature: { unknown: "no CPU sensor answers" } },
    noticesUser: true,
  },
  bare: {
    ...usual,
    title: "A machine without a temperature sensor, under Wayland",
    hardware: LAPTOP,
    worker: { process: "running", build: "cpu", fallback: null },
    blindness: {
      temperature: { absent: "the machine shows no temperature sensor" },
      full_screen: { absent: "Wayland does not show other programs' windows" },
    },
  },
  managed: {
    ...usual,
    title: "Managed",
    managed: {
      cpu: { bound: "40%", hidden: false },
      "gpu-memory": { bound: "6GiB", hidden: false },
      "max-temperature": { bound: "80°C", hidden: false },
      "on-battery": { bound: "false", hidden: false },
      "idle-after": { bound: "5m", hidden: false },
      when: { bound: "schedule", hidden: false },
      schedule: { bound: "mon-fri 17:00-09:00, sat-sun", hidden: false },
      "stop-for": { bound: "zoom", hidden: false },
      network: { bound: "5MB/s", hidden: true },
    },
    chosen: { gpu: "45%", "stop-for": "blender" },
  },
  hours: {
    ...usual,
    title: "By hours, while away",
    chosen: { when: "idle-in-schedule", schedule: "mon-fri 18:00-08:00, sat-sun", "stop-for": "blender, zoom" },
  },
  connecting: {
    ...usual,
    title: "Connecting",
    connected: false,
    phases: now("connecting", "free", "Nothing holds GoGrid back", 130),
  },
  empty: {
    ...usual,
    title: "Joined a moment ago",
    works: false,
    hasHistory: false,
    phases: [{ ago: 2, state: "idle", kind: "starting", reason: "Starting: the computer was not checked yet" }],
  },
  "not-joined": {
    ...usual,
    title: "Not joined",
    joined: false,
    works: false,
    hasHistory: false,
    phases: [{ ago: 60, state: "not_joined", kind: "free", reason: "Nothing holds GoGrid back" }],
  },
  offered: {
    ...usual,
    title: "A link offers a code",
    app: { offered_code: "gogrid1-mfzwizltoqxgk3lq4rqw2zjoe5xgk2lb" },
  },
  welcome: {
    ...usual,
    title: "First run",
    joined: false,
    works: false,
    hasHistory: false,
    phases: [{ ago: 5, state: "not_joined", kind: "free", reason: "Nothing holds GoGrid back" }],
    app: { welcomed: false },
  },
  "welcome-bare": {
    ...usual,
    title: "First run on a machine that tells little",
    hardware: LAPTOP,
    joined: false,
    works: false,
    hasHistory: false,
    phases: [{ ago: 5, state: "not_joined", kind: "free", reason: "Nothing holds GoGrid back" }],
    blindness: {
      temperature: { absent: "the machine shows no temperature sensor" },
      full_screen: { absent: "Wayland does not show other programs' windows" },
      user_idle: { absent: "this Wayland desktop does not say when it was last used" },
    },
    app: { welcomed: false },
  },
  starting: { ...usual, title: "The worker starts", worker: { process: "starting" } },
  waiting: {
    ...usual,
    title: "The worker died",
    worker: { process: "waiting", died: "CUDA error: out of memory", retry_in_ms: 8000, times: 3 },
  },
  held: {
    ...usual,
    title: "The key store is locked",
    worker: { process: "held", why: "The key store is locked, and this computer's key is in it." },
    keyStore: { store: "unavailable", why: "The key store is locked.", locked: true },
  },
  loading: { ...usual, title: "The shell has not answered yet", answers: "never" },
  refusing: { ...usual, title: "Every request fails", answers: "refuses" },
} satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[];

export function isScenario(name: string | null): name is ScenarioName {
  return name !== null && name in SCENARIOS;
}
