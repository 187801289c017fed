/** Polling that rests while the page is hidden. */

/** Tells whether the page is visible: `document`, or a fake. */
export interface Visibility {
  readonly hidden: boolean;
  addEventListener(type: "visibilitychange", listener: () => void): void;
  removeEventListener(type: "visibilitychange", listener: () => void): void;
}

/**
 * Runs the task at once, and again `everyMs` after its end, never twice at the same time. It rests while the page is
 * hidden, and runs at once when the page is visible again. Returns a function that ends it.
 */
export function poll(everyMs: number, task: () => Promise<void>, page: Visibility = document): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let over = false;

  const rests = () => over || page.hidden;

  async function run() {
    clearTimeout(timer);
    if (running || rests()) return;
    running = true;
    try {
      await task();
    } finally {
      running = false;
    }
    if (!rests()) timer = setTimeout(() => void run(), everyMs);
  }

  const seen = () => void run();
  page.addEventListener("visibilitychange", seen);
  void run();
  return () => {
    over = true;
    clearTimeout(timer);
    page.removeEventListener("visibilitychange", seen);
  };
}
