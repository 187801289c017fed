/** A grid that answers with the question. */
import type { AnswerEnd, GridModel, GridModels, GridQuestion } from "../../api/types";
import { Refusal } from "../platform";

const PIECE_MS = 40;

const MODELS: GridModel[] = [
  { name: "Qwen3-8B", ready: true },
  { name: "demo", ready: true },
  { name: "Llama-70B", ready: false },
];

const asks = (message: string) => new Refusal({ field: "key", message });

export class FakeAnswers {
  #stopped = false;
  /** What the grid asks for. */
  readonly #wanted: string | null;
  /** What the key store keeps. */
  #kept: string | null = null;

  constructor(wanted: string | null) {
    this.#wanted = wanted;
  }

  models(): GridModels {
    if (this.#wanted !== this.#kept) throw asks("This grid asks for a key. Its operator has yours.");
    return { models: MODELS, key: this.#kept === null ? "none" : "kept" };
  }

  useKey(key: string): GridModels {
    if (key.trim() !== this.#wanted) throw asks("The grid does not take this key. Its operator has yours.");
    this.#kept = this.#wanted;
    return this.models();
  }

  forgetKey() {
    this.#kept = null;
  }

  async ask({ model, messages }: GridQuestion, piece: (text: string) => void): Promise<AnswerEnd> {
    this.models();
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
