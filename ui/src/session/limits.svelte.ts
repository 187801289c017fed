/** Changes of limits: applied at once, with undo, and with each refusal at its own field. */
import { SvelteMap } from "svelte/reactivity";
import type { Setting } from "../api/types";
import { specOf } from "../lib/limits/keys";
import { boundText } from "../lib/limits/shown";
import { settingOf } from "../lib/settings";
import { DEFAULT } from "../lib/value";
import { ask } from "../platform/ask";
import { Refusal } from "../platform/platform";
import { words } from "../words";
import type { Session } from "./session.svelte";

type Changes = [string, string][];

export class LimitEditor {
  readonly #session: Session;
  /** Values that are shown before the worker has them. */
  readonly #drafts = new SvelteMap<string, string>();
  /** Why a field's latest value was refused. */
  readonly errors = new SvelteMap<string, string>();
  /** Settings from before a slider was grabbed. */
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing on the page depends on it
  readonly #before = new Map<string, Setting>();
  /** The values to send next; only the latest of each key is kept. */
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing on the page depends on it
  readonly #pending = new Map<string, string>();
  #sending: Promise<void> | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  value(key: string): string {
    return this.#drafts.get(key) ?? this.#setting(key)?.value ?? "";
  }

  /** Applies the value of a moving slider, without a message. */
  slide(key: string, value: string): void {
    const setting = this.#setting(key);
    if (setting && !this.#before.has(key)) this.#before.set(key, setting);
    this.#enqueue(key, value);
  }

  /** Sets a value and offers to undo that. Returns whether the worker accepted it. */
  async commit(key: string, value: string, shown: string): Promise<boolean> {
    const before = this.#before.get(key) ?? this.#setting(key);
    this.#enqueue(key, value);
    await this.#sent();
    this.#before.delete(key);
    if (this.errors.has(key)) return false;
    const same = before && before.value === this.#setting(key)?.value;
    if (before && !same) {
      const text = words.limits.toast(words.limits.labels[key] ?? key, shown);
      this.#session.toasts.show(text, { undo: () => void this.#undo([back(before)]) });
    }
    return true;
  }

  /** Resets a limit to the preset's value. */
  async reset(key: string): Promise<void> {
    const before = this.#setting(key);
    if (!before || !(await this.#set([[key, DEFAULT]]))) return;
    const text = words.limits.toast(words.limits.labels[key] ?? key, words.limits.toastReset);
    this.#session.toasts.show(text, { undo: () => void this.#undo([back(before)]) });
  }

  /** Chooses a preset, which undoes every change, and offers to bring the changes back. */
  async choose(preset: string, message: string): Promise<void> {
    const limits = this.#session.status?.limits ?? [];
    const before = limits.filter(({ key, changed }) => key === "preset" || (changed && key !== "pause")).map(back);
    this.errors.clear();
    if (!(await this.#session.command({ request: "preset", name: preset }))) return;
    await this.#refresh();
    this.#session.toasts.show(message, { undo: () => void this.#undo(before) });
  }

  #setting(key: string): Setting | undefined {
    return this.#session.status ? settingOf(this.#session.status, key) : undefined;
  }

  #enqueue(key: string, value: string) {
    this.#drafts.set(key, value);
    this.#pending.set(key, value);
    void this.#sent();
  }

  /** Resolves when all pending values have been sent. */
  #sent(): Promise<void> {
    this.#sending ??= this.#flush().finally(() => (this.#sending = null));
    return this.#sending;
  }

  async #flush() {
    for (let next = first(this.#pending); next; next = first(this.#pending)) {
      const [key, value] = next;
      this.#pending.delete(key);
      await this.#set([[key, value]]);
      if (!this.#pending.has(key)) this.#drafts.delete(key);
    }
  }

  async #undo(changes: Changes) {
    await this.#set(changes);
  }

  /** Makes all of these changes or none. */
  async #set(changes: Changes): Promise<boolean> {
    try {
      await ask(this.#session.platform, { request: "set", changes }, "done");
      for (const [key] of changes) this.errors.delete(key);
      await this.#refresh();
      return true;
    } catch (thrown) {
      const { field, message } = Refusal.from(thrown);
      const key = changes.find(([key]) => key === field)?.[0];
      if (key === undefined) this.#session.toasts.show(words.actions.failed(message), { bad: true });
      else this.errors.set(key, this.#advice(key, message));
      return false;
    }
  }

  /** What to enter instead. The worker's own words name key and value, which the donor has before them. */
  #advice(key: string, message: string): string {
    const { managed } = this.#setting(key) ?? {};
    const range = specOf(key)?.range;
    if (range !== undefined && message.endsWith(`: ${range}`)) return words.limits.enter(range);
    const status = this.#session.status;
    if (!managed || status === null) return message;
    const by = status.managed_by ? words.limits.managed(status.managed_by) : words.limits.managedSomebody;
    return `${by}: ${boundText(key, managed.bound, status.machine)}.`;
  }

  /** Fetches the limits, without waiting for the next state. */
  async #refresh() {
    this.#session.putLimits(await ask(this.#session.platform, { request: "limits" }, "limits"));
  }
}

/** The change that restores a setting. */
function back({ key, value, changed }: Setting): [string, string] {
  return [key, changed || key === "preset" ? value : DEFAULT];
}

function first(pending: Map<string, string>): [string, string] | undefined {
  return pending.entries().next().value;
}
