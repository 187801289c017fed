/**
 * The commands of the shell that the page uses, one a method. A rejected promise carries a {@link Refusal}. Nothing else
 * in the page knows where its data comes from.
 */
import type {
  AnswerEnd,
  AppSettings,
  AppState,
  GridModels,
  GridQuestion,
  LogFilter,
  LogLine,
  RequestError,
  Request,
  Response,
} from "../api/types";

/** The requests that the shell passes on to the worker. The state comes by {@link Platform.follow} alone. */
export type WorkerRequest = Exclude<Request, { request: "status" } | { request: "follow" }>;

export interface Platform {
  appState(): Promise<AppState>;
  /** Calls the listener at once, at every change and once a second, until the page is gone. */
  follow(listener: (state: AppState) => void): Promise<void>;
  worker(request: WorkerRequest): Promise<Response>;
  changeSettings(settings: AppSettings): Promise<AppState>;
  /** Tries the system's key store again. */
  openKeyStore(): Promise<void>;
  /** The newest 500 lines, oldest first. */
  logs(filter: LogFilter): Promise<LogLine[]>;
  /** A text for the person who helps the donor, without secrets. */
  report(): Promise<string>;
  /** Asks where to save a text, and returns the path; null if the donor declines. Nothing is written before. */
  saveFile(name: string, text: string): Promise<string | null>;
  dismiss(id: number): Promise<void>;
  forgetCode(): Promise<void>;
  restartWorker(): Promise<void>;
  installUpdate(): Promise<void>;
  /** The models of the grid's API. A refusal of the field `key` says that the grid asks for one. */
  gridModels(): Promise<GridModels>;
  /** Asks for them with a key, which is kept in the system's key store if the grid takes it. */
  useGridKey(key: string): Promise<GridModels>;
  forgetGridKey(): Promise<void>;
  /** Asks the grid, and calls the listener with each piece of the answer. Ends the question before. */
  askGrid(question: GridQuestion, piece: (text: string) => void): Promise<AnswerEnd>;
  /** Ends the answer under way. */
  stopAsking(): Promise<void>;
}

/** The error of a command. Its message is for people. */
export class Refusal extends Error {
  readonly field: string | null;

  constructor(refused: RequestError) {
    super(refused.message);
    this.name = "Refusal";
    this.field = refused.field;
  }

  /** Any thrown value as a refusal. */
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
