/** What is wrong, and how much was checked. */
export class Findings {
  /** @type {string[]} */
  #wrong = [];
  #checked = 0;

  /** @param {string} where */
  checked(where) {
    this.#checked += 1;
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
    console.log(`${this.#checked} checks, ${this.#wrong.length} findings`);
  }
}
