/** A made-up worker with limits, turns and a record, which answers a worker's requests. */
import type {
  CachedModel,
  CachedWeights,
  Days,
  EnergyFigures,
  Event,
  History,
  Range,
  Reason,
  RequestError,
  Response,
  Stage,
  State,
  Status,
} from "../../api/types";
import { isoDate } from "../../lib/time";
import { parseAmount, resolve } from "../../lib/value";
import type { WorkerRequest } from "../platform";
import { days, FIGURES, METHOD } from "./days";
import { diagnosis, GIB, levers, machineOf, sample, whyBlind } from "./hardware";
import { ABOUT, details, leftNow, refusalOf, TOO_LATE, wrongCode } from "./joins";
import { FakeLimits } from "./limits";
import { load, turnAt, type Turn } from "./load";
import { offEvents, offTimes, pastDays } from "./past";
import { IN_USE, type Phase, type Scenario } from "./scenarios";

const KEY = "8ab3f1e0d28ab3f1c4719b02e65d8fa03b1c77e9402f5a6d8b9e01c2d3f4a5b6";
const MODEL = "Qwen3-8B";
/** Bytes of the stage's weights, and of its sessions' caches. */
const WEIGHTS = 2.4 * GIB;
const CACHES = 0.4 * GIB;
const GRID = "Example Grid";
const NO_WAY = "it does not answer";
/** As long as a coordinator takes to answer. */
const JOIN_MS = 900;
/** A few seconds of real work, cut short. */
const TEST_MS = 1500;
const STEPS: Record<Range, [stepMs: number, points: number]> = {
  minute: [1000, 60],
  ten_minutes: [5000, 120],
  day: [300_000, 288],
};
const PROGRAMS = ["blender", "code", "firefox", "obs", "signal-desktop", "slack", "steam", "thunderbird", "zoom"];
const BUSY = "a model computes now: finish the answers under way first (after_answers)";
const DONE: Response = { response: "done" };

export class FakeMachine {
  readonly #scenario: Scenario;
  readonly #limits: FakeLimits;
  readonly #began = Date.now();
  #turns: Turn[];
  #extra: Event[] = [];
  #figures = FIGURES;
  #cached: CachedModel[];
  #joined: boolean;
  /** A join code is being tried: the worker is on its way to a grid that has told nothing yet. */
  #joining = false;
  #left: Status["left"] = null;
  #finishing = false;
  #until: number | null = null;
  name = "office-7";

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    const managedBy = Object.keys(scenario.managed).length > 0 ? "Example GmbH" : null;
    this.#limits = new FakeLimits(machineOf(scenario.hardware), managedBy, scenario);
    this.#joined = scenario.joined;
    this.#cached = scenario.works ? [...cachedModels(MODEL, WEIGHTS)] : [];
    this.#turns = scenario.phases.map((phase) => this.#turn(phase, this.#began - phase.ago * 1000));
  }

  #turn({ state, kind, reason }: Pick<Phase, "state" | "kind" | "reason">, at: number): Turn {
    const rests = state === "stopped" || state === "paused";
    const [cpu, gpu] = kind === "in_use" || kind === "unknown" ? ["cpu-in-use", "gpu-in-use"] : ["cpu", "gpu"];
    const part = (key: string | undefined) => (rests || key === undefined ? 0 : this.#limits.part(key));
    return { at, state, cpu: part(cpu), gpu: part(gpu), kind, reason };
  }

  #now(): Turn {
    const turn = turnAt(this.#turns, Date.now());
    return turn ?? { at: this.#began, state: "idle", cpu: 0, gpu: 0, kind: "starting", reason: "Starting" };
  }

  /** Continues with the scenario's last phase, under the current limits. */
  #goOn() {
    const phase = this.#scenario.phases.findLast(({ state }) => state !== "paused");
    if (phase) this.#turns.push(this.#turn(phase, Date.now()));
    this.#finishing = false;
  }

  /** Gives way to somebody who is there. Whether that changes anything. */
  noticeUser(): boolean {
    const { state, kind } = this.#now();
    if (!this.#scenario.noticesUser || kind === "in_use" || state === "paused") return false;
    this.#turns.push(this.#turn(IN_USE, Date.now()));
    return true;
  }

  #pause(seconds: number | null, afterAnswers: boolean) {
    this.#finishing = afterAnswers;
    this.#until = seconds === null ? null : Date.now() + seconds * 1000;
    if (afterAnswers) return;
    const reason =
      this.#until === null ? "Paused until you resume" : `Paused until ${local(this.#until).slice(11, 16)}`;
    this.#turns.push(this.#turn({ state: "paused", kind: "paused", reason }, Date.now()));
  }

  #loaded(): number {
    return this.#scenario.works && this.#joined ? WEIGHTS + CACHES : 0;
  }

  #bounds() {
    const { gpu, memory } = this.#scenario.hardware;
    const amount = parseAmount(this.#limits.get(gpu ? "gpu-memory" : "memory"));
    const most = amount ? resolve(amount, gpu?.memory ?? memory) : 0;
    return { cpu: this.#limits.part("cpu"), gpu: this.#limits.part("gpu"), memory: most };
  }

  #point(at: number) {
    return load(this.#turns, this.#bounds(), this.#scenario.hardware, this.#loaded(), at);
  }

  /** The time since the last input; short in scenarios in which somebody uses the computer. */
  #idleSeconds(turn: Turn): number {
    const since = turn.kind === "in_use" ? this.#began - 4000 : this.#began - 130_000;
    return (Date.now() - since) / 1000;
  }

  status(): Status {
    const { hardware, blindness } = this.#scenario;
    const turn = this.#now();
    const point = this.#point(Date.now());
    const bounds = this.#bounds();
    const outside = this.#joining ? "connecting" : "not_joined";
    const state: State = (this.#joined && !this.#joining) || turn.state === "paused" ? turn.state : outside;
    return {
      id: KEY.split("").reverse().join(""),
      name: this.name,
      device: hardware.gpu ? "cuda:0" : "cpu",
      state,
      reason: turn.reason,
      pausing_after_answers: this.#finishing,
      connection: this.#connection(),
      about: this.#joined && !this.#joining ? ABOUT : null,
      left: this.#left,
      machine: machineOf(hardware),
      allowance: {
        cpu: Math.round(turn.cpu * 1000),
        gpu: hardware.gpu ? Math.round(turn.gpu * 1000) : 0,
        memory: hardware.memory / 2,
        gpu_memory: hardware.gpu ? bounds.memory : 0,
        reason: this.#reason(turn),
      },
      usage: {
        cpu: point.cpu ?? 0,
        gpu: point.gpu,
        ledger_bytes: point.memory ?? 0,
        weights_bytes: this.#loaded() && WEIGHTS,
        kv_bytes: this.#loaded() && CACHES,
        workspace_bytes: 0,
        limit_bytes: bounds.memory,
        tokens_per_second: point.tokens_per_second,
        answers: state === "working" || state === "throttled" ? 3 : 0,
      },
      limits: this.#limits.list(),
      managed_by: this.#limits.managedBy,
      sample: sample(hardware, blindness, {
        idle: this.#idleSeconds(turn),
        cpu: [point.cpu ?? 0, point.cpu_others ?? 0],
        gpu: [point.gpu ?? 0, point.gpu_others ?? 0],
        memory: [point.memory ?? 0, point.memory_others ?? 0],
      }),
      stages: this.#stages(),
      sessions: state === "working" || state === "throttled" ? 3 : 0,
      contribution: {
        tokens: 1_204_331,
        slices: 88_120,
        throttled: 5210,
        busy_seconds: 5230,
        waited_seconds: 410,
        slice_p99_ms: 7.4,
        divisible_slice_p99_ms: 7.1,
        longest_slice_ms: 7.9,
      },
      today: {
        date: isoDate(Date.now()),
        tokens: 402_110,
        active_seconds: 5040,
        energy_wh: 120.2,
        metered_wh: 0,
        running_seconds: 21_600,
      },
      levers: levers(),
    };
  }

  #connection(): Status["connection"] {
    if (this.#joining) return { coordinator: KEY, grid: "", connected: false, problem: null };
    const { connected } = this.#scenario;
    return this.#joined ? { coordinator: KEY, grid: GRID, connected, problem: connected ? null : NO_WAY } : null;
  }

  #reason(turn: Turn): Reason {
    switch (turn.kind) {
      case "in_use":
      case "starting":
        return { kind: turn.kind };
      case "program":
        return { kind: "program", name: "blender" };
      case "unknown":
        return { kind: "unknown", signal: "temperature", why: whyBlind(this.#scenario.blindness.temperature) ?? "" };
      case "paused": {
        const until = this.#until;
        const today = until !== null && isoDate(until) === isoDate(Date.now());
        return { kind: "paused", until: until === null ? null : { at: local(until), today } };
      }
      default:
        return { kind: "free" };
    }
  }

  #stages(): Stage[] {
    if (this.#loaded() === 0) return [];
    const stage = { model: MODEL, epoch: 41, loaded: true, weights_bytes: WEIGHTS, kv_bytes: CACHES };
    return [{ ...stage, layers: [12, 24], sessions: 3, blocked: false }];
  }

  #history(range: Range): History {
    const [step_ms, count] = STEPS[range];
    const end = Math.floor(Date.now() / step_ms) * step_ms;
    if (!this.#scenario.hasHistory) return { step_ms, points: [], gaps: [] };
    const all = Array.from({ length: count }, (_, index) => end - (count - 1 - index) * step_ms);
    const gaps = range === "day" ? offTimes(end) : [];
    const off = (at: number) => gaps.some(({ from_ms, to_ms }) => at > from_ms && at < to_ms);
    return { step_ms, points: all.filter((at) => !off(at)).map((at) => this.#point(at)), gaps };
  }

  #events(): Event[] {
    const gpu = this.#scenario.hardware.gpu !== null;
    const known = (state: State) => !["idle", "connecting", "not_joined"].includes(state);
    const turns = this.#turns
      .filter(({ state, kind }) => known(state) && kind !== "starting")
      .map(({ at, state, cpu, gpu: part, kind, reason }): Event => {
        const shares = { cpu: Math.round(cpu * 1000), gpu: gpu ? Math.round(part * 1000) : null };
        return { at_ms: at, what: { event: "allowance", state, ...shares, kind, reason } };
      });
    const loaded: Event[] = this.#loaded()
      ? [
          { at_ms: this.#began - 5_398_000, what: { event: "connected" } },
          { at_ms: this.#began - 5_381_000, what: { event: "loaded", model: MODEL, layers: [12, 24], seconds: 9.1 } },
        ]
      : [];
    if (!this.#scenario.connected) loaded.push({ at_ms: this.#began - 130_000, what: { event: "disconnected" } });
    const past = this.#scenario.hasHistory ? [...pastDays(this.#began, gpu), ...offEvents(this.#began)] : [];
    return [...past, ...turns, ...loaded, ...this.#extra].sort((one, other) => one.at_ms - other.at_ms);
  }

  async answer(request: WorkerRequest): Promise<Response> {
    switch (request.request) {
      case "limits":
        return { response: "limits", body: this.#limits.list() };
      case "set":
        return this.#changed(this.#limits.set(request.changes));
      case "preset":
        return this.#changed(this.#limits.choose(request.name));
      case "pause":
        this.#pause(request.seconds, request.after_answers);
        return DONE;
      case "resume":
        this.#goOn();
        return DONE;
      case "join":
        return this.#join(request.code);
      case "leave":
        this.#joined = false;
        this.#left = leftNow(GRID);
        this.#extra.push({ at_ms: Date.now(), what: { event: "left" } });
        return DONE;
      case "read_code":
        return details(request.code, KEY, GRID);
      case "join_again":
        return this.#left ? this.#tried(null) : { response: "refused", body: { field: null, message: TOO_LATE } };
      case "history":
        return { response: "history", body: this.#history(request.range) };
      case "events":
        return { response: "events", body: this.#events().filter(({ at_ms }) => at_ms > (request.after_ms ?? 0)) };
      case "days":
        return { response: "days", body: this.#days() };
      case "energy_figures": {
        const { request: _, ...figures } = request;
        const refused = wrongFigure(figures);
        if (refused) return { response: "refused", body: refused };
        this.#figures = figures;
        return DONE;
      }
      case "weights":
        return { response: "weights", body: this.#weights() };
      case "clear_weights":
        this.#cached = this.#cached.filter(
          ({ name, in_use }) => in_use || (request.model !== null && request.model !== name),
        );
        return { response: "weights", body: this.#weights() };
      case "diagnose":
        return { response: "diagnosis", body: diagnosis(this.#scenario.hardware, this.#scenario.blindness) };
      case "programs":
        return { response: "programs", body: PROGRAMS };
      case "self_test":
        if (!request.after_answers && this.status().sessions > 0) {
          return { response: "refused", body: { field: "after_answers", message: BUSY } };
        }
        await new Promise((done) => setTimeout(done, TEST_MS));
        return {
          response: "self_test",
          body: {
            cpu_allowed: this.#limits.part("cpu"),
            cpu_taken: this.#limits.part("cpu") - 0.004,
            seconds: 3,
            stopped_after_ms: 6.2,
          },
        };
    }
  }

  #weights(): CachedWeights {
    return { bytes: this.#cached.reduce((sum, { bytes }) => sum + bytes, 0), models: this.#cached };
  }

  #days(): Days {
    if (this.#scenario.hasHistory) return days(Date.now(), this.#figures);
    return { days: [], method: METHOD, figures: this.#figures, rest_watts: null };
  }

  #changed(refused: RequestError | null): Response {
    if (refused) return { response: "refused", body: refused };
    if (this.#now().state !== "paused") this.#goOn();
    return DONE;
  }

  async #join(code: string): Promise<Response> {
    const wrong = wrongCode(code.trim());
    if (wrong) return { response: "refused", body: { field: "code", message: wrong } };
    return this.#tried(refusalOf(code.trim()));
  }

  /** Tries to be let in, which ends like this. */
  async #tried(refusal: RequestError | null): Promise<Response> {
    this.#joining = true;
    await new Promise((done) => setTimeout(done, JOIN_MS));
    this.#joining = false;
    if (refusal) return { response: "refused", body: refusal };
    this.#joined = true;
    this.#left = null;
    this.#turns.push(this.#turn({ state: "idle", kind: "free", reason: "Nothing holds GoGrid back" }, Date.now()));
    this.#extra.push({ at_ms: Date.now(), what: { event: "joined" } });
    return DONE;
  }
}

function cachedModels(inUse: string, bytes: number): CachedModel[] {
  return [
    { name: "Llama-3.3-70B-Instruct", bytes: 6.3e9, in_use: false },
    { name: inUse, bytes, in_use: true },
    { name: "Qwen3-0.6B", bytes: 0.4e9, in_use: false },
  ];
}

/** As the worker refuses figures. */
function wrongFigure({ price, rest_watts, full_watts }: EnergyFigures): RequestError | null {
  const refuse = (field: string, why: string) => ({ field, message: `${field} = ${why}` });
  if (price !== null && price > 1_000_000) return refuse("price", `${price} is out of range: 0 to 1000000`);
  for (const [field, watts] of [["rest_watts", rest_watts] as const, ["full_watts", full_watts] as const]) {
    if (watts !== null && (watts < 1 || watts > 5000)) return refuse(field, `${watts} is out of range: 1 to 5000 W`);
  }
  return null;
}

/** As the worker writes a local time. */
function local(ms: number): string {
  const at = new Date(ms);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${isoDate(ms)}T${two(at.getHours())}:${two(at.getMinutes())}:00`;
}
