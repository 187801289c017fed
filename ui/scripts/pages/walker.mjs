/** More than the focusable elements of any page. */
const MOST_TABS = 150;
/** Longer than the made-up machine takes to answer. */
const SETTLE_MS = 600;
/** Everything that can be acted on. */
const ACTS = "a[href], button, input, select, textarea, summary, [tabindex='0']";

/** @param {string} id */
const by = (id) => `[data-testid="${id}"]`;

/** Narrow spaces are for eyes. @param {string | null | undefined} text */
const plain = (text) => (text ?? "").replaceAll("\u202f", " ").replaceAll(/\s+/g, " ").trim();

/** Acts on pages by their `data-testid`, and waits for what comes of it. */
export class Walker {
  #browser;

  /** @param {import("./browser.mjs").Browser} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  get tab() {
    return this.#browser.tab;
  }

  /** @param {string} page @param {string} fake */
  async open(page, fake) {
    await this.#browser.open({ page, fake });
  }

  drawn() {
    return this.#browser.drawn();
  }

  /** @param {string} id */
  async appears(id) {
    await this.tab.waitForSelector(by(id)).catch(() => {
      throw new Error(`${id} does not appear`);
    });
    await this.drawn();
  }

  /** @param {string} id */
  async gone(id) {
    await this.tab.waitForSelector(by(id), { hidden: true }).catch(() => {
      throw new Error(`${id} does not go`);
    });
  }

  /**
   * @template A
   * @param {(argument: A) => boolean} condition run in the page
   * @param {A} argument
   */
  async until(condition, argument) {
    // @ts-expect-error the types of puppeteer do not follow the argument into the page
    await this.tab.waitForFunction(condition, {}, argument).catch(() => {
      throw new Error(`never became true: ${condition}`);
    });
  }

  /** Until a field has a value. @param {string} id @param {string} value */
  async shows(id, value) {
    const wanted = { selector: by(id), value };
    const read = () => this.tab.$eval(by(id), (field) => /** @type {HTMLInputElement} */ (field).value);
    await this.tab
      .waitForFunction(
        ({ selector, value }) => {
          const field = document.querySelector(selector);
          const hasText = field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement;
          return hasText && field.value.replaceAll("\u202f", " ") === value;
        },
        {},
        wanted,
      )
      .catch(async () => {
        throw new Error(`${id} shows ${await read()} instead of ${value}`);
      });
  }

  /** @param {string} id */
  async focus(id) {
    await this.tab.focus(by(id));
  }

  /** @param {string} id @param {import("puppeteer-core").KeyInput} key */
  async press(id, key) {
    await this.focus(id);
    await this.tab.keyboard.press(key);
  }

  /** @param {...import("puppeteer-core").KeyInput} keys */
  async keys(...keys) {
    for (const key of keys) await this.tab.keyboard.press(key);
  }

  /** Replaces a field's text and takes it. @param {string} id @param {string} text */
  async write(id, text) {
    await this.tab.$eval(by(id), (field) => /** @type {HTMLInputElement} */ (field).select());
    await this.focus(id);
    await this.tab.keyboard.type(text);
    await this.tab.keyboard.press("Enter");
  }

  /** @param {string} id */
  async text(id) {
    return plain(await this.tab.$eval(by(id), (element) => element.textContent));
  }

  /** @param {string} id @param {string} part */
  async hasText(id, part) {
    return (await this.text(id)).includes(part);
  }

  /** @param {string} id @param {string} name */
  async attribute(id, name) {
    const value = await this.tab.$eval(by(id), (element, name) => element.getAttribute(name), name);
    return value === null ? null : plain(value);
  }

  /** @param {string} id */
  isDisabled(id) {
    return this.tab.$eval(by(id), (element) => element.matches(":disabled"));
  }

  /** @param {string} id */
  isChecked(id) {
    return this.tab.$eval(by(id), (element) => /** @type {HTMLInputElement} */ (element).checked);
  }

  /** @param {string} id */
  async isThere(id) {
    return (await this.tab.$(by(id))) !== null;
  }

  /** Until nothing is asked for any more: the page's answers take a moment. */
  async settled() {
    await new Promise((done) => setTimeout(done, SETTLE_MS));
    await this.drawn();
  }

  /** Everything that can be clicked and is in sight, with its name and its middle. */
  places() {
    return this.tab.evaluate(findPlaces, ACTS);
  }

  /** Moves the pointer from one point to the next, as a hand does. @param {(readonly [number, number])[]} points */
  async moveOver(points) {
    for (const [x, y] of points) await this.tab.mouse.move(x, y, { steps: 5 });
  }

  /** Draws the page in another font. @param {string} family */
  async setFont(family) {
    await this.tab.evaluate((family) => document.documentElement.style.setProperty("--font", family), family);
    await this.drawn();
  }

  focused() {
    return this.tab.evaluate(() => document.activeElement?.getAttribute("data-testid") ?? null);
  }

  /** Drags the pointer between two points of an element, each as parts of its width and height.
   * @param {string} id @param {[number, number]} from @param {[number, number]} to */
  async drag(id, from, to) {
    const element = await this.tab.$(by(id));
    await element?.scrollIntoView();
    const box = await element?.boundingBox();
    if (!box) throw new Error(`${id} is not on the page`);
    const at = (/** @type {[number, number]} */ [x, y]) =>
      /** @type {const} */ ([box.x + x * box.width, box.y + y * box.height]);
    await this.tab.mouse.move(...at(from));
    await this.tab.mouse.down();
    await this.tab.mouse.move(...at(to), { steps: 4 });
    await this.tab.mouse.up();
  }

  /** Presses Tab until the focus is back where it began. Where it was, and whether that was seen. */
  async tabThrough() {
    await this.tab.evaluate(() => document.body.focus());
    /** @type {NonNullable<ReturnType<typeof lookAtFocus>>[]} */
    const places = [];
    for (let tabs = 0; tabs < MOST_TABS; tabs += 1) {
      await this.tab.keyboard.press("Tab");
      const place = await this.tab.evaluate(lookAtFocus, ACTS);
      if (place === null || places.some(({ at }) => at === place.at)) break;
      places.push(place);
    }
    return places;
  }

  /** What can be acted on and was not reached. @param {number[]} reached */
  unreached(reached) {
    return this.tab.evaluate(findUnreached, ACTS, reached);
  }
}

/** Runs in the page. @param {string} acts @param {number[]} reached @returns {string[]} */
function findUnreached(acts, reached) {
  /** The arrow keys go on to the others of a group. @type {(element: Element) => boolean} */
  const isOfGroup = (element) => element instanceof HTMLInputElement && element.type === "radio" && !element.checked;
  return [...document.querySelectorAll(acts)]
    .filter((element, at) => !reached.includes(at) && !element.matches(":disabled") && !isOfGroup(element))
    .map((element) => element.outerHTML.slice(0, 120));
}

/** Runs in the page. @param {string} acts */
function findPlaces(acts) {
  const found = [...document.querySelectorAll(acts)].map((element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const name = element.getAttribute("data-testid") ?? element.getAttribute("aria-label") ?? element.textContent ?? "";
    return { name: name.trim(), x: left + width / 2, y: top + height / 2, width, height };
  });
  const seen = found.filter(({ x, y, width }) => width > 0 && x > 0 && x < innerWidth && y > 0 && y < innerHeight);
  // Several may have the same name, in the order of the page.
  return seen.map((place, at) => {
    const before = seen.slice(0, at).filter(({ name }) => name === place.name).length;
    return { ...place, name: `${place.name} ${before}` };
  });
}

/** Runs in the page. @param {string} acts */
function lookAtFocus(acts) {
  const element = document.activeElement;
  if (!(element instanceof HTMLElement) || element === document.body) return null;
  // What shows the focus may be the label's text beside an invisible radio button.
  const shown = [element, element.nextElementSibling]
    .filter((part) => part !== null)
    .map((part) => getComputedStyle(part));
  const seen = shown.some(({ boxShadow, outlineStyle }) => boxShadow !== "none" || outlineStyle !== "none");
  return {
    at: [...document.querySelectorAll(acts)].indexOf(element),
    id: element.getAttribute("data-testid"),
    // The thumb of a slider has the ring, and a script cannot look at it.
    seen:
      seen ||
      (element instanceof HTMLInputElement && element.type === "range") ||
      element.getAttribute("role") === "grid",
    html: element.outerHTML.slice(0, 120),
  };
}
