/**
 * What the page asks of the program around it. Each method is one command of the shell; a promise that is rejected
 * carries a {@link Refusal}. Nothing else in the page knows where its data comes from.
 */
import type { AppSettings, AppState, LogFilter, LogLine, RequestError, Request, Response } from "../api/types";

/** What the shell passes on to the worker: the state comes by {@link Platform.follow} alone. */
export type WorkerRequest = Exclude<Request, { request: "status" } | { request: "follow" }>;

export interface Platform {
  appState(): Promise<AppState>;
  /** Calls at once, at every change, and once a second, until the page goes. */
  follow(listener: (state: AppState) => void): Promise<void>;
  worker(request: WorkerRequest): Promise<Response>;
  changeSettings(settings: AppSettings): Promise<AppState>;
  /** Tries the system's key store again. */
  openKeyStore(): Promise<void>;
  /** The newest 500 lines, oldest first. */
  logs(filter: LogFilter): Promise<LogLine[]>;
  /** What a person who helps needs to know, without secrets. */
  report(): Promise<string>;
  /** Writes a CSV file into the folder for downloads; its path. */
  exportDays(): Promise<string>;
  dismiss(id: number): Promise<void>;
  forgetCode(): Promise<void>;
  restartWorker(): Promise<void>;
  installUpdate(): Promise<void>;
}

/** Why something was not done. Its message is for people. */
export class Refusal extends Error {
  readonly field: string | null;

  constructor(refused: RequestError) {
    super(refused.message);
    this.name = "Refusal";
    this.field = refused.field;
  }

  /** Whatever was thrown, as a refusal. */
  static from(thrown: unknown): Refusal {
    if (thrown instanceof Refusal) return thrown;
    if (isRequestError(thrown)) return new Refusal(thrown);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new Refusal({ field: null, message });
  }
}

function isRequestError(thrown: unknown): thrown is RequestError {
  return typeof thrown === "object" && thrown !== null && "field" in thrown && "message" in thrown;
}
