import puppeteer from "puppeteer-core";

const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Longer than any answer of a made-up machine takes. */
const DEADLINE_MS = 10_000;

/**
 * @typedef {"light" | "dark"} Scheme
 * @typedef {{ page: string, fake: string, scheme?: Scheme, size?: [number, number], text?: number, now?: string }} View
 */

/** A browser with one tab, which goes from view to view. */
export class Browser {
  /** @type {import("puppeteer-core").Browser} */
  #browser;
  /** @type {import("puppeteer-core").Page} */
  tab;
  #address;
  /** Its settings hold as long as it is open. @type {import("puppeteer-core").CDPSession | undefined} */
  #settings;
  /** What the page complained about since it was opened. @type {string[]} */
  complaints = [];

  /**
   * @param {import("puppeteer-core").Browser} browser
   * @param {import("puppeteer-core").Page} tab
   * @param {string} address
   */
  constructor(browser, tab, address) {
    this.#browser = browser;
    this.tab = tab;
    this.#address = address;
  }

  /** @param {string} address */
  static async start(address) {
    const browser = await puppeteer.launch({ executablePath: PROGRAM, args: ["--no-sandbox"], pipe: true });
    const tab = await browser.newPage();
    tab.setDefaultTimeout(DEADLINE_MS);
    await tab.emulateTimezone("Europe/Berlin");
    const self = new Browser(browser, tab, address);
    tab.on("pageerror", (error) => self.complaints.push(String(error)));
    tab.on("console", (message) => {
      const asked = message.location().url ?? "";
      // Chromium asks every site for its icon; the app has none there.
      if (message.type() === "error" && !asked.endsWith("/favicon.ico")) self.complaints.push(message.text());
    });
    await tab.evaluateOnNewDocument(noteFirstFigure);
    return self;
  }

  /** Opens a page of a made-up machine, and waits until it is drawn. @param {View} view */
  async open({ page, fake, scheme = "light", size = [1000, 690], text = 100, now }) {
    this.complaints = [];
    // Out of the page before, so that the next one is loaded even if only its # differs.
    await this.tab.goto("about:blank");
    await this.tab.setViewport({ width: size[0], height: size[1] });
    await this.tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await this.#setText(text);
    const set = now && (await this.tab.evaluateOnNewDocument(setClock, new Date(now).getTime()));
    await this.#go(`?fake=${fake}#${page}`);
    if (set) await this.tab.removeScriptToEvaluateOnNewDocument(set.identifier);
    await this.tab.waitForSelector("[data-testid=state], [data-testid=welcome]");
    await this.drawn();
  }

  /** As a desktop sets it: before anything is drawn. @param {number} percent */
  async #setText(percent) {
    this.#settings ??= await this.tab.createCDPSession();
    await this.#settings.send("Page.setFontSizes", { fontSizes: { standard: Math.round((16 * percent) / 100) } });
  }

  /** Opens the gallery's list. @param {Scheme} scheme */
  async openGallery(scheme) {
    this.complaints = [];
    await this.tab.goto("about:blank");
    await this.tab.setViewport({ width: 1200, height: 900 });
    await this.tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await this.#go("");
    await this.tab.waitForSelector("main");
    await this.drawn();
  }

  /** @param {string} rest what follows the file's name in the address */
  async #go(rest) {
    const response = await this.tab.goto(`${this.#address}/gallery.html${rest}`);
    if (!response?.ok()) throw new Error(`gallery.html${rest} is not there: ${response?.status()}`);
  }

  /** Until everything that is known is on the screen: two frames after the fonts are there. */
  async drawn() {
    await this.tab.evaluate(async () => {
      await document.fonts.ready;
      for (let frames = 2; frames > 0; frames -= 1) await new Promise(requestAnimationFrame);
    });
  }

  /** Puts the card around an element at the top. @param {string} id */
  async scrollTo(id) {
    await this.tab.$eval(`[data-testid=${id}]`, (element) => element.closest(".card")?.scrollIntoView());
    await this.drawn();
  }

  /** Makes the window as high as what is in it. */
  async showAll() {
    const { width, height } = this.tab.viewport() ?? { width: 0, height: 0 };
    const hidden = await this.tab.evaluate(() => {
      const scrolled = [...document.querySelectorAll(".content, .welcome, main")];
      return Math.max(0, ...scrolled.map((element) => element.scrollHeight - element.clientHeight));
    });
    await this.tab.setViewport({ width, height: height + hidden });
    await this.drawn();
  }

  async stop() {
    await this.#browser.close();
  }
}

/** Runs in the page: sets its clock, which then goes on. @param {number} start */
function setClock(start) {
  const behind = start - Date.now();
  const Real = Date;
  globalThis.Date = /** @type {DateConstructor} */ (
    class extends Real {
      /** @param {[]} given */
      constructor(...given) {
        if (given.length === 0) super(Real.now() + behind);
        else super(...given);
      }
      static now() {
        return Real.now() + behind;
      }
    }
  );
}

/** Runs in the page: notes after how many milliseconds it showed its first figure. */
function noteFirstFigure() {
  const watch = new MutationObserver(() => {
    if (document.querySelector("[data-testid=value-cpu]") === null) return;
    watch.disconnect();
    requestAnimationFrame(() => Object.assign(globalThis, { firstFigureMs: performance.now() }));
  });
  watch.observe(document, { childList: true, subtree: true });
}
