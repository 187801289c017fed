/** The time since the last key or mouse movement, extrapolated between two samples of the machine. */

/** Beyond this time without a new sample, the extrapolation stops. */
const MAX_MS = 5000;

export class IdleClock {
  #told: number | null = null;
  #since = 0;

  /** Takes a sample: the idle time in seconds, and when it was received. The same figure again is no new sample. */
  tell(seconds: number, now: number): void {
    if (seconds === this.#told) return;
    this.#told = seconds;
    this.#since = now;
  }

  /** The idle time in seconds; null before the first sample. */
  at(now: number): number | null {
    if (this.#told === null) return null;
    return this.#told + Math.min(MAX_MS, now - this.#since) / 1000;
  }
}
