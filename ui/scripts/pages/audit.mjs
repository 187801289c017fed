/** Checks every page in every state: axe, nothing outside the window, no errors in the browser. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { PAGES } from "./pages.mjs";

/** Ends with a statement without a value, because the value of the script is sent back. */
const AXE = `${readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")};undefined`;
const SCENARIOS = [
  "working",
  "idle",
  "keyed",
  "laptop",
  "stopped",
  "blind",
  "bare",
  "managed",
  "hours",
  "connecting",
  "empty",
  "not-joined",
  "offered",
  "starting",
  "waiting",
  "held",
  "loading",
  "refusing",
];
/** The initial and the smallest size of the window. @type {[number, number][]} */
const SIZES = [
  [1000, 690],
  [900, 640],
];
/** A text size that desktops offer. */
const LARGER_TEXT = 125;

/**
 * @typedef {import("./browser.mjs").Browser} Browser
 * @typedef {import("./findings.mjs").Findings} Findings
 */

/** @returns {Generator<import("./browser.mjs").View>} */
function* views() {
  for (const scheme of /** @type {const} */ (["light", "dark"])) {
    for (const page of PAGES) {
      for (const size of SIZES) yield { page, fake: "throttled", scheme, size };
      yield { page, fake: "throttled", scheme, size: SIZES[1], text: LARGER_TEXT };
    }
    yield { page: "now", fake: "welcome", scheme, size: SIZES[1] };
    yield { page: "now", fake: "welcome", scheme, size: SIZES[1], text: LARGER_TEXT };
    yield { page: "now", fake: "welcome-bare", scheme, size: SIZES[1] };
  }
  for (const [index, fake] of SCENARIOS.entries()) {
    // Each state in one of the two schemes: the contrast of colours depends on the tokens alone.
    const scheme = index % 2 === 0 ? "light" : "dark";
    // A link with a code always leads to one page.
    for (const page of fake === "offered" ? ["connection"] : PAGES) yield { page, fake, scheme, size: SIZES[1] };
  }
}

/** @param {Browser} browser @param {Findings} findings */
export async function auditAll(browser, findings) {
  for (const view of views()) {
    const where = [view.page, view.fake, view.scheme, view.size?.join("×"), view.text && `${view.text} %`]
      .filter(Boolean)
      .join(" ");
    try {
      await browser.open(view);
      await audit(browser, where, findings);
    } catch (error) {
      findings.wrong(where, [String(error), ...browser.complaints].join("; "));
    }
  }
  for (const scheme of /** @type {const} */ (["light", "dark"])) {
    await browser.openGallery(scheme);
    await audit(browser, `gallery ${scheme}`, findings);
  }
}

/** @param {Browser} browser @param {string} where @param {Findings} findings */
export async function audit(browser, where, findings) {
  findings.checked(where);
  for (const complaint of browser.complaints) findings.wrong(where, complaint);
  for (const outside of await browser.tab.evaluate(sticksOut)) findings.wrong(where, `sticks out: ${outside}`);
  // axe skips what is scrolled out of sight.
  await browser.showAll();
  // Through the browser's protocol, which the page's content security policy does not restrict.
  await browser.tab.evaluate(AXE);
  for (const violation of await browser.tab.evaluate(runAxe)) findings.wrong(where, violation);
}

/** Runs in the page. @returns {string[]} elements that overflow */
function sticksOut() {
  const name = (/** @type {Element} */ element) =>
    `${element.tagName.toLowerCase()}.${element.className} ${(element.textContent ?? "").trim().slice(0, 40)}`;
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const { left, right, width } = element.getBoundingClientRect();
    if (width === 0 || element.closest("iframe, svg, .uplot, .spoken, .hours")) continue;
    const card = element.closest(".card, .note")?.getBoundingClientRect();
    const [from, to] = [card?.left ?? 0, card?.right ?? innerWidth];
    if (left < from - 0.5 || right > to + 0.5) found.push(name(element));
    const { overflowX } = getComputedStyle(element);
    const scrolls = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
    if (scrolls && (overflowX === "auto" || overflowX === "scroll")) found.push(`scrolls sideways: ${name(element)}`);
  }
  return found.slice(0, 3);
}

/** Runs in the page. @returns {Promise<string[]>} the violations that count */
async function runAxe() {
  // @ts-expect-error axe defines this global
  const { violations } = await globalThis.axe.run(document, { iframes: false });
  return violations
    .filter((/** @type {{ impact: string }} */ { impact }) => impact === "serious" || impact === "critical")
    .map(
      (/** @type {{ id: string, help: string, nodes: { html: string, failureSummary: string }[] }} */ violation) =>
        `${violation.id}: ${violation.help}: ${violation.nodes[0]?.html.slice(0, 160)} ${violation.nodes[0]?.failureSummary}`,
    );
}
