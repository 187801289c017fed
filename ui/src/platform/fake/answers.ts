/** A grid that answers with the question. */
import type { AnswerEnd, GridModel, GridQuestion } from "../../api/types";
import { Refusal } from "../platform";

const PIECE_MS = 40;

export const MODELS: GridModel[] = [
  { name: "Qwen3-8B", ready: true },
  { name: "demo", ready: true },
  { name: "Llama-70B", ready: false },
];

export class FakeAnswers {
  #stopped = false;

  async ask({ model, messages }: GridQuestion, piece: (text: string) => void): Promise<AnswerEnd> {
    if (MODELS.find(({ name }) => name === model)?.ready !== true) {
      const message = `The grid says: the model '${model}' is not ready: no connected machines have room for it now.`;
      throw new Refusal({ field: null, message });
    }
    this.#stopped = false;
    for (const word of `You asked: ${messages.at(-1)?.text ?? ""} I would think about that for a while.`.split(
      /(?= )/,
    )) {
      await new Promise((done) => setTimeout(done, PIECE_MS));
      if (this.#isStopped()) return "stopped";
      piece(word);
    }
    return "whole";
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  stop() {
    this.#stopped = true;
  }
}
