/** The state in words: a headline, and a sentence that says for whom, what and why. */
import type { AppState, Mark, Process, Status } from "../api/types";
import { words } from "../words";
import { reasonText } from "./reason";
import { lendsGpu } from "./settings";
import { civil } from "./time";
import { cores, share } from "./units";

export interface Text {
  title: string;
  sentence: string;
}

export interface Headline extends Text {
  /** The mark beside the headline: that of the tray's icon. */
  mark: Mark;
}

const text = words.state;

export function headline(app: AppState | null, lost: string | null): Headline {
  if (lost !== null) return { mark: "error", title: text.headline.lost, sentence: lost };
  if (app === null) return { mark: "connecting", title: text.headline.loading, sentence: text.loading };
  return { mark: app.mark, ...(ofProcess(app.worker) ?? (app.status ? ofStatus(app.status) : starting())) };
}

function starting(): Text {
  return { title: text.headline.starting, sentence: text.starting };
}

/** The headline while the worker does not answer; null while it does. */
function ofProcess(worker: Process): Text | null {
  switch (worker.process) {
    case "starting":
      return starting();
    case "waiting": {
      const sentence = text.waiting(Math.ceil(worker.retry_in_ms / 1000));
      return { title: text.headline.waiting, sentence };
    }
    case "held":
      return { title: text.headline.held, sentence: worker.why };
    case "running":
      return null;
  }
}

function ofStatus(status: Status): Text {
  if (status.pausing_after_answers && status.state !== "paused") {
    return { title: text.headline.finishing, sentence: text.finishing };
  }
  return { title: title(status), sentence: sentence(status) };
}

function title(status: Status): string {
  const { reason } = status.allowance;
  const until = status.state === "paused" && reason.kind === "paused" ? reason.until : null;
  return until ? text.pausedUntil(civil(until.at, until.today)) : text.headline[status.state];
}

function sentence(status: Status): string {
  const grid = gridOf(status);
  const because = text.because(why(status));
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
      return status.allowance.reason.kind === "unknown" ? because : `${because} ${text.stopped}`;
    case "paused":
      return text.paused;
  }
}

function why({ state, allowance: { reason } }: Status): string {
  const stays = reason.kind === "unknown" && state === "stopped";
  return stays ? text.reasons.unknownAway(text.signals[reason.signal]) : reasonText(reason);
}

export function gridOf(status: Status): string {
  return status.connection?.grid || text.yourGrid;
}

/** `Computes a part of Qwen3-8B for Example Grid.` */
function work({ stages }: Status, grid: string): string {
  const models = new Set(stages.filter(({ loaded }) => loaded).map(({ model }) => model));
  return models.size === 0 ? text.noStage(grid) : text.working(words.list([...models]), grid);
}

/** The allowance of the device that computes. */
export function allowed(status: Status): string {
  const { cpu, gpu } = status.allowance;
  return lendsGpu(status) ? text.ofGpu(share(gpu)) : cores(cpu / 1000, status.machine.cores);
}
