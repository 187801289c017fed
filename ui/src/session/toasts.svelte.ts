/** Short messages at the edge of the window, some of them with undo. */

/** Long enough to read and to reach for Undo. */
const SHOWN_MS = 8000;

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
  undo: (() => void) | null;
}

export class Toasts {
  list = $state.raw<Toast[]>([]);
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing on the page depends on it
  #timers = new Map<number, ReturnType<typeof setTimeout>>();
  #next = 1;

  show(text: string, { bad = false, undo = null }: Partial<Pick<Toast, "bad" | "undo">> = {}): void {
    const id = this.#next++;
    // One at a time: a newer message replaces the one before.
    for (const { id } of this.list) this.#stop(id);
    this.list = [{ id, text, bad, undo }];
    this.release();
  }

  dismiss(id: number): void {
    this.#stop(id);
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** Keeps them while the pointer or the focus is on them. */
  hold(): void {
    for (const { id } of this.list) this.#stop(id);
  }

  release(): void {
    for (const { id } of this.list) {
      this.#stop(id);
      this.#timers.set(
        id,
        setTimeout(() => this.dismiss(id), SHOWN_MS),
      );
    }
  }

  #stop(id: number) {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }
}
