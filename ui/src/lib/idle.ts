/** The time since the last key or mouse movement, counted on between two looks at the machine. */

/** Without a new look for so long, the machine is not looked at any more: what is counted on would be made up. */
const TRUSTED_MS = 5000;

export class IdleClock {
  #told: number | null = null;
  #since = 0;

  /** A look at the machine: what it told, in seconds, and when. The same figure again is no new look. */
  tell(seconds: number, now: number): void {
    if (seconds === this.#told) return;
    this.#told = seconds;
    this.#since = now;
  }

  /** In seconds; null before the first look. */
  at(now: number): number | null {
    if (this.#told === null) return null;
    return this.#told + Math.min(TRUSTED_MS, now - this.#since) / 1000;
  }
}
