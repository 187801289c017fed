/** Something that a page asks for again and again while it is shown. */
import { poll } from "../lib/poll";
import { Refusal } from "../platform/platform";

export class Feed<T> {
  /** The newest answer; null before the first. */
  value = $state.raw<T | null>(null);
  /** Why there was no answer the last time. */
  problem = $state.raw<string | null>(null);

  /** Asks until what is returned is called. A late answer after that is dropped. */
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
