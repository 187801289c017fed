import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** The time in every picture, fixed so that pictures differ only if the page does. */
const NOW = "2026-11-25T13:32:24Z";
/** The view of each picture, scrolled to `at`. @type {Record<string, { page: string, fake: string, at?: string }>} */
const PICTURES = {
  now: { page: "now", fake: "throttled" },
  limits: { page: "limits", fake: "throttled" },
  contribution: { page: "contribution", fake: "throttled" },
  history: { page: "history", fake: "throttled" },
  connection: { page: "connection", fake: "throttled" },
  ask: { page: "ask", fake: "throttled" },
  diagnostics: { page: "diagnostics", fake: "throttled" },
  join: { page: "connection", fake: "not-joined" },
  hours: { page: "limits", fake: "hours", at: "row-when" },
  managed: { page: "limits", fake: "managed" },
  welcome: { page: "now", fake: "welcome" },
};

/** @param {import("./browser.mjs").Browser} browser @param {string} folder */
export async function takePictures(browser, folder) {
  mkdirSync(folder, { recursive: true });
  for (const [name, { at, ...view }] of Object.entries(PICTURES)) {
    for (const scheme of /** @type {const} */ (["light", "dark"])) {
      await browser.open({ ...view, scheme, now: NOW });
      if (at) await browser.scrollTo(at);
      await browser.tab.screenshot({ path: /** @type {`${string}.png`} */ (join(folder, `${name}-${scheme}.png`)) });
    }
  }
  console.log(`${Object.keys(PICTURES).length * 2} pictures in ${folder}`);
}
