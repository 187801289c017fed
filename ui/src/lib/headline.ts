/** The state in words: a headline, and a sentence that says for whom, what and why. */
import type { AppState, Process, Stage, State, Status } from "../api/types";
import { words } from "../words";
import { reasonText } from "./reason";
import { lendsGpu } from "./settings";
import { civil } from "./time";
import { cores, share } from "./units";

/** The mark beside the headline, with the same shapes as in the tray. */
export type Mark = "not-joined" | "connecting" | "idle" | "working" | "throttled" | "paused" | "error";

export interface Headline {
  mark: Mark;
  title: string;
  sentence: string;
}

const text = words.state;

export function headline(app: AppState | null, lost: string | null): Headline {
  if (lost !== null) return { mark: "error", title: text.headline.lost, sentence: lost };
  if (app === null) return { mark: "connecting", title: text.headline.loading, sentence: text.loading };
  return ofProcess(app.worker) ?? (app.status ? ofStatus(app.status) : starting());
}

function starting(): Headline {
  return { mark: "connecting", title: text.headline.starting, sentence: text.starting };
}

/** The headline while the worker does not answer; null while it does. */
function ofProcess(worker: Process): Headline | null {
  switch (worker.process) {
    case "starting":
      return starting();
    case "waiting": {
      const sentence = text.waiting(Math.ceil(worker.retry_in_ms / 1000));
      return { mark: "error", title: text.headline.waiting, sentence };
    }
    case "held":
      return { mark: "error", title: text.headline.held, sentence: worker.why };
    case "running":
      return null;
  }
}

const MARKS: Record<State, Mark> = {
  not_joined: "not-joined",
  connecting: "connecting",
  idle: "idle",
  working: "working",
  throttled: "throttled",
  stopped: "paused",
  paused: "paused",
};

function ofStatus(status: Status): Headline {
  const mark = MARKS[status.state];
  if (status.pausing_after_answers && status.state !== "paused") {
    return { mark, title: text.headline.finishing, sentence: text.finishing };
  }
  return { mark, title: title(status), sentence: sentence(status) };
}

function title(status: Status): string {
  const { reason } = status.allowance;
  const until = status.state === "paused" && reason.kind === "paused" ? reason.until : null;
  return until ? text.pausedUntil(civil(until.at, until.today)) : text.headline[status.state];
}

function sentence(status: Status): string {
  const grid = gridOf(status);
  const because = text.because(reasonText(status.allowance.reason));
  switch (status.state) {
    case "not_joined":
      return text.notJoined;
    case "connecting":
      return text.connecting(grid, status.connection?.problem ?? null);
    case "idle":
      return text.idle(grid);
    case "working":
    case "throttled":
      return [work(status, grid), because, text.takes(allowed(status))].join(" ");
    case "stopped":
      return `${because} ${text.stopped}`;
    case "paused":
      return text.paused;
  }
}

export function gridOf(status: Status): string {
  return status.connection?.grid || text.yourGrid;
}

/** `12 layers of Qwen3-8B for Example Grid.` */
function work(status: Status, grid: string): string {
  const models = layersByModel(status.stages);
  if (models.length === 0) return text.noStage(grid);
  return text.working(words.list(models.map(([model, layers]) => text.layers(layers, model))), grid);
}

function layersByModel(stages: readonly Stage[]): [string, number][] {
  const sums = new Map<string, number>();
  for (const { model, layers, loaded } of stages) {
    if (loaded) sums.set(model, (sums.get(model) ?? 0) + layers[1] - layers[0]);
  }
  return [...sums];
}

/** The allowance of the device that computes. */
export function allowed(status: Status): string {
  const { cpu, gpu } = status.allowance;
  return lendsGpu(status) ? text.ofGpu(share(gpu)) : cores(cpu / 1000, status.machine.cores);
}
