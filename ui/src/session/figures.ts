/** Changes of the donor's energy figures, one after another: each goes on from the one before, however fast they come. */
import type { EnergyFigures } from "../api/types";

export class FigureEdits {
  readonly #read: () => EnergyFigures;
  readonly #send: (figures: EnergyFigures) => Promise<void>;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param read the figures that hold now
   * @param send sends figures, and is done once {@link read} gives them
   */
  constructor(read: () => EnergyFigures, send: (figures: EnergyFigures) => Promise<void>) {
    this.#read = read;
    this.#send = send;
  }

  /** Changes some figures, and gives back what they were. Rejects if the worker refuses. */
  change(part: Partial<EnergyFigures>): Promise<Partial<EnergyFigures>> {
    const changed = this.#last.then(async () => {
      const before = this.#read();
      await this.#send({ ...before, ...part });
      return Object.fromEntries(Object.keys(part).map((field) => [field, before[field as keyof EnergyFigures]]));
    });
    this.#last = changed.catch(() => {});
    return changed;
  }
}
