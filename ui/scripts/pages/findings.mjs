/** What is wrong, and how much was looked at. */
export class Findings {
  /** @type {string[]} */
  #wrong = [];
  #looked = 0;

  /** @param {string} where */
  looked(where) {
    this.#looked += 1;
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${where}`);
  }

  /** @param {string} where @param {string} what */
  wrong(where, what) {
    this.#wrong.push(`${where}: ${what}`);
  }

  get failed() {
    return this.#wrong.length > 0;
  }

  report() {
    if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
    for (const line of this.#wrong) console.error(line);
    console.log(`${this.#looked} looks, ${this.#wrong.length} findings`);
  }
}
