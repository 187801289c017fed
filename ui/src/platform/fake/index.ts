/** A platform that makes everything up: for development, the gallery and the page's tests. Never in the product. */
import type { AppSettings, AppState, GridQuestion, KeyStore, LogFilter, Mark, Process, Status } from "../../api/types";
import { download } from "../download";
import { Refusal, type Platform, type WorkerRequest } from "../platform";
import { FakeAnswers } from "./answers";
import { log } from "./log";
import { FakeMachine } from "./machine";
import { SCENARIOS, type Scenario, type ScenarioName } from "./scenarios";

const TICK_MS = 1000;
const BROKEN = { field: null, message: "the connection to the worker was closed" };

/** As the shell finds it, but for the key store. */
export function markOf(worker: Process, status: Status | null): Mark {
  if (worker.process === "starting") return "connecting";
  if (worker.process !== "running") return "error";
  if (status === null) return "connecting";
  return status.state === "stopped" ? "paused" : status.state;
}

export class FakePlatform implements Platform {
  readonly #scenario: Scenario;
  readonly #machine: FakeMachine;
  readonly #listeners = new Set<(state: AppState) => void>();
  #worker: Process;
  #keyStore: KeyStore;
  #settings: AppSettings;
  #notices: AppState["notices"];
  #offered: string | null;
  readonly #answers: FakeAnswers;
  #joinAsked = 0;

  constructor(name: ScenarioName) {
    this.#scenario = SCENARIOS[name];
    this.#machine = new FakeMachine(this.#scenario);
    this.#answers = new FakeAnswers(this.#scenario.gridKey);
    this.#worker = this.#scenario.worker;
    this.#keyStore = this.#scenario.keyStore;
    this.#notices = this.#scenario.app.notices ?? [];
    this.#offered = this.#scenario.app.offered_code ?? null;
    this.#settings = {
      welcomed: this.#scenario.app.welcomed ?? true,
      autostart: true,
      machine_name: "",
      key_file: false,
      notify: { joined: true, revoked: true, gpu_lost: true },
    };
  }

  #state(): AppState {
    const status = this.#worker.process === "running" ? this.#machine.status() : null;
    return {
      mark: markOf(this.#worker, status),
      worker: this.#worker,
      status,
      settings: this.#settings,
      notices: this.#notices,
      version: "0.4.0",
      key_store: this.#keyStore,
      update: this.#scenario.app.update ?? null,
      offered_code: this.#offered,
      join_asked: this.#joinAsked,
    };
  }

  /** The donor chooses *Join…* in the tray. */
  askToJoin() {
    this.#joinAsked += 1;
    this.#tell();
  }

  #tell() {
    for (const listener of this.#listeners) listener(this.#state());
  }

  /** Waits for ever or fails, if the scenario says so. */
  async #reach(): Promise<void> {
    if (this.#scenario.answers === "never") await new Promise(() => {});
    if (this.#scenario.answers === "refuses") throw new Refusal(BROKEN);
  }

  async appState() {
    if (this.#scenario.answers === "never") await this.#reach();
    return this.#state();
  }

  async follow(listener: (state: AppState) => void) {
    if (this.#scenario.answers === "never") await this.#reach();
    this.#listeners.add(listener);
    listener(this.#state());
    setInterval(() => {
      this.#countDown();
      listener(this.#state());
    }, TICK_MS);
  }

  /** Somebody moves the pointer over the page, which some made-up machines notice as the real ones do. */
  pointerMoved() {
    if (this.#machine.noticeUser()) this.#tell();
  }

  #countDown() {
    if (this.#worker.process !== "waiting") return;
    // Starts over at zero, so that the countdown can be watched.
    const left = this.#worker.retry_in_ms - TICK_MS;
    this.#worker = { ...this.#worker, retry_in_ms: left > 0 ? left : 8000 };
  }

  async worker(request: WorkerRequest) {
    await this.#reach();
    if (this.#worker.process !== "running") throw new Refusal({ field: null, message: "the worker does not run" });
    const answer = this.#machine.answer(request);
    // As the shell does: a change of the state is told at once, also while the answer is on its way.
    if (request.request === "join" || request.request === "join_again") this.#tell();
    const response = await answer;
    if (response.response === "done" || response.response === "refused") this.#tell();
    return response;
  }

  async changeSettings(settings: AppSettings) {
    await this.#reach();
    this.#settings = settings;
    this.#machine.name = settings.machine_name || "office-7";
    if (settings.key_file && this.#keyStore.store === "unavailable") {
      this.#keyStore = { store: "file" };
      this.#worker = { process: "running", build: "cuda", fallback: null };
    }
    this.#tell();
    return this.#state();
  }

  async openKeyStore() {
    await this.#reach();
    this.#keyStore = { store: "opening" };
    this.#tell();
  }

  async logs(filter: LogFilter) {
    await this.#reach();
    return log(filter, Date.now());
  }

  async report() {
    await this.#reach();
    return ["GoGrid 0.4.0, Debian GNU/Linux 13", "device: cuda:0", "state: throttled, in_use", "limits: balanced"].join(
      "\n",
    );
  }

  async saveFile(name: string, text: string) {
    await this.#reach();
    return download(name, text);
  }

  async dismiss(id: number) {
    await this.#reach();
    this.#notices = this.#notices.filter((notice) => notice.id !== id);
    this.#tell();
  }

  async forgetCode() {
    await this.#reach();
    this.#offered = null;
    this.#tell();
  }

  async restartWorker() {
    await this.#reach();
    this.#worker = { process: "running", build: "cuda", fallback: null };
    this.#tell();
  }

  async installUpdate() {
    await this.#reach();
  }

  async gridModels() {
    await this.#reach();
    return this.#answers.models();
  }

  async useGridKey(key: string) {
    await this.#reach();
    return this.#answers.useKey(key);
  }

  async forgetGridKey() {
    await this.#reach();
    this.#answers.forgetKey();
  }

  async askGrid(question: GridQuestion, piece: (text: string) => void) {
    await this.#reach();
    return this.#answers.ask(question, piece);
  }

  async stopAsking() {
    await this.#reach();
    this.#answers.stop();
  }
}
