/** What all pages share: the state from the shell, and the ways to act on it. */
import { createContext } from "svelte";
import type { AppState, Setting, Status } from "../api/types";
import { ask } from "../platform/ask";
import { Refusal, type Platform, type WorkerRequest } from "../platform/platform";
import { words } from "../words";
import { Chat } from "./chat.svelte";
import { JoinAttempt } from "./join.svelte";
import { Toasts } from "./toasts.svelte";

export class Session {
  readonly platform: Platform;
  readonly toasts = new Toasts();
  /** The attempt with a code that the donor types. */
  readonly typedJoin = new JoinAttempt();
  readonly chat = new Chat();
  #offered: { code: string; attempt: JoinAttempt } | null = null;
  /** Null until the shell has answered. */
  app = $state.raw<AppState | null>(null);
  /** Why the shell does not answer. */
  lost = $state.raw<string | null>(null);

  constructor(platform: Platform) {
    this.platform = platform;
  }

  /** Null while the worker does not answer. */
  get status(): Status | null {
    return this.app?.worker.process === "running" ? this.app.status : null;
  }

  async follow(): Promise<void> {
    try {
      await this.platform.follow((app) => {
        this.app = app;
        this.lost = null;
      });
    } catch (thrown) {
      this.lost = Refusal.from(thrown).message;
    }
  }

  /** The attempt with a code that came by a link. Another code is another attempt. */
  offeredJoin(code: string): JoinAttempt {
    if (this.#offered?.code !== code) this.#offered = { code, attempt: new JoinAttempt(code) };
    return this.#offered.attempt;
  }

  /** Puts the limits after a change into the state, before the next state arrives. */
  putLimits(limits: Setting[]): void {
    if (this.app?.status) this.app = { ...this.app, status: { ...this.app.status, limits } };
  }

  /** Runs a task of the donor, and shows its error. Returns whether it succeeded. */
  async act(task: () => Promise<unknown>): Promise<boolean> {
    try {
      await task();
      return true;
    } catch (thrown) {
      this.toasts.show(words.actions.failed(Refusal.from(thrown).message), { bad: true });
      return false;
    }
  }

  /** Lets the donor choose where to save a text, and says where it was saved. */
  save(name: string, text: string, saved: (path: string) => string): Promise<boolean> {
    return this.act(async () => {
      const path = await this.platform.saveFile(name, text);
      if (path !== null) this.toasts.show(saved(path));
    });
  }

  /** Sends the worker a command, which is either done or refused. Returns whether it was done. */
  command(request: WorkerRequest): Promise<boolean> {
    return this.act(() => ask(this.platform, request, "done"));
  }
}

export const [useSession, provideSession] = createContext<Session>();
