/** A chat with the grid. It lives in the session, so that it goes on while the donor looks at another page. */
import type { ChatMessage, GridModel } from "../api/types";
import { Refusal, type Platform } from "../platform/platform";

export class Chat {
  models = $state.raw<GridModel[] | null>(null);
  model = $state("");
  draft = $state("");
  /** Whole messages, and while one is being written, the beginning of the answer. */
  messages = $state<ChatMessage[]>([]);
  busy = $state(false);
  stopped = $state(false);
  /** Why the grid did not answer, or does not name its models. */
  error = $state.raw<string | null>(null);

  /** Asks for the models; chooses one that is ready, unless the donor has chosen. */
  async load(platform: Platform): Promise<void> {
    try {
      this.models = await platform.gridModels();
      if (!this.models.some(({ name }) => name === this.model)) {
        this.model = (this.models.find(({ ready }) => ready) ?? this.models[0])?.name ?? "";
      }
      this.error = null;
    } catch (thrown) {
      this.error = Refusal.from(thrown).message;
    }
  }

  /** Sends the draft. A question that got no answer goes back into the draft. */
  async ask(platform: Platform): Promise<void> {
    const text = this.draft.trim();
    if (this.busy || text === "" || this.model === "") return;
    [this.busy, this.stopped, this.error, this.draft] = [true, false, null, ""];
    this.messages.push({ role: "user", text });
    const messages = this.messages.map((message) => ({ ...message }));
    this.messages.push({ role: "assistant", text: "" });
    const at = this.messages.length - 1;
    const answer = () => this.messages[at];
    try {
      const end = await platform.askGrid({ model: this.model, messages }, (piece) => {
        const now = answer();
        if (now) now.text += piece;
      });
      this.stopped = end === "stopped";
    } catch (thrown) {
      this.error = Refusal.from(thrown).message;
    }
    if (answer()?.text === "") {
      this.messages.splice(at - 1);
      if (this.draft === "") this.draft = text;
    }
    this.busy = false;
  }

  clear(): void {
    this.messages = [];
    [this.error, this.stopped] = [null, false];
  }
}
