/** An answer that a page polls while it is shown. */
import { poll } from "../lib/poll";
import { Refusal } from "../platform/platform";

export class Feed<T> {
  /** The latest answer; null before the first. */
  value = $state.raw<T | null>(null);
  /** Why the latest poll failed; null if it did not. */
  problem = $state.raw<string | null>(null);

  /** Polls until the returned function is called. A later answer is dropped. */
  run(everyMs: number, ask: () => Promise<T>): () => void {
    let over = false;
    const stop = poll(everyMs, async () => {
      try {
        const value = await ask();
        if (over) return;
        this.value = value;
        this.problem = null;
      } catch (thrown) {
        if (!over) this.problem = Refusal.from(thrown).message;
      }
    });
    return () => {
      over = true;
      stop();
    };
  }
}
