/** A chat with the grid. It lives in the session, so that it goes on while the donor looks at another page. */
import type { ChatMessage, GridKey, GridModel, GridModels } from "../api/types";
import { Refusal, type Platform } from "../platform/platform";

/** A message as the page shows it. */
export type Said =
  | { role: "user"; text: string }
  /** The model that answers, and whether the donor stopped it before its end. */
  | { role: "assistant"; text: string; model: string; stopped: boolean };

/** Why the grid lets nobody in; `asksForKey` if a key is the remedy. */
export interface Obstacle {
  message: string;
  asksForKey: boolean;
}

export class Chat {
  models = $state.raw<GridModel[] | null>(null);
  model = $state("");
  draft = $state("");
  /** Whole messages, and while one is being written, the beginning of the answer. */
  messages = $state<Said[]>([]);
  busy = $state(false);
  /** Why there was no answer. */
  error = $state.raw<string | null>(null);
  /** Why the grid does not name its models. */
  obstacle = $state.raw<Obstacle | null>(null);
  key = $state.raw<GridKey>("none");

  /** Asks for the models; chooses one that is ready, unless the donor has chosen. */
  load(platform: Platform): Promise<void> {
    return this.#list(() => platform.gridModels());
  }

  /** Asks with the donor's key, which is kept if the grid takes it. Nothing here remembers it. */
  useKey(platform: Platform, key: string): Promise<void> {
    return this.#list(() => platform.useGridKey(key));
  }

  async forgetKey(platform: Platform): Promise<void> {
    await platform.forgetGridKey();
    this.key = "none";
    await this.load(platform);
  }

  async #list(listed: () => Promise<GridModels>): Promise<void> {
    try {
      const { models, key } = await listed();
      [this.models, this.key, this.obstacle] = [models, key, null];
      if (!models.some(({ name }) => name === this.model)) {
        this.model = (models.find(({ ready }) => ready) ?? models[0])?.name ?? "";
      }
    } catch (thrown) {
      this.#refused(Refusal.from(thrown));
    }
  }

  #refused({ field, message }: Refusal) {
    this.obstacle = { message, asksForKey: field === "key" };
  }

  /** Sends the draft. A question that got no answer goes back into the draft. */
  async ask(platform: Platform): Promise<void> {
    const [text, model] = [this.draft.trim(), this.model];
    if (this.busy || text === "" || model === "") return;
    [this.busy, this.error, this.draft] = [true, null, ""];
    this.messages.push({ role: "user", text });
    const messages: ChatMessage[] = this.messages.map(({ role, text }) => ({ role, text }));
    this.messages.push({ role: "assistant", text: "", model, stopped: false });
    const at = this.messages.length - 1;
    const answer = () => this.messages[at];
    try {
      const end = await platform.askGrid({ model, messages }, (piece) => {
        const now = answer();
        if (now) now.text += piece;
      });
      const now = answer();
      if (now?.role === "assistant") now.stopped = end === "stopped";
    } catch (thrown) {
      const refusal = Refusal.from(thrown);
      if (refusal.field === "key") this.#refused(refusal);
      else this.error = refusal.message;
    }
    if (answer()?.text === "") {
      this.messages.splice(at - 1);
      if (this.draft === "") this.draft = text;
    }
    this.busy = false;
  }

  clear(): void {
    [this.messages, this.error] = [[], null];
  }
}
