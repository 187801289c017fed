/** An attempt to join a grid: the code, and how the attempt ended. */
import { ask } from "../platform/ask";
import { Refusal, type Platform } from "../platform/platform";

/**
 * Lives in the session and not in the form: the page around the form may change during an attempt, and its end is shown
 * in the form all the same.
 */
export class JoinAttempt {
  code = $state("");
  busy = $state(false);
  /** Why the latest attempt failed. */
  error = $state.raw<string | null>(null);

  constructor(code = "") {
    this.code = code;
  }

  /** Tries the code, and returns whether the grid let the machine in. A code that failed stays, to be corrected. */
  async run(platform: Platform): Promise<boolean> {
    const code = this.code.trim();
    if (this.busy || code === "") return false;
    this.busy = true;
    this.error = null;
    try {
      await ask(platform, { request: "join", code }, "done");
      this.code = "";
      return true;
    } catch (thrown) {
      this.error = Refusal.from(thrown).message;
      return false;
    } finally {
      this.busy = false;
    }
  }
}
