import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** A text of made-up machines only. */
const MADE_UP = "Example Grid";
/**
 * The most bytes of all scripts, so that they stay few: with 253,000 the first figure stands 0.3 to 0.8 s after the window's
 * creation, which may take a second.
 */
const MOST_SCRIPT = 256_000;

/**
 * The product has nothing of the gallery in it, and stays small.
 * @param {string} folder
 * @param {import("./findings.mjs").Findings} findings
 */
export function checkProduct(folder, findings) {
  findings.checked("product");
  const assets = join(folder, "assets");
  const scripts = readdirSync(assets).filter((name) => name.endsWith(".js"));
  const bytes = scripts.reduce((sum, name) => sum + statSync(join(assets, name)).size, 0);
  console.log(`product: ${bytes} bytes of script`);
  if (bytes > MOST_SCRIPT) findings.wrong("product", `${bytes} bytes of script, ${MOST_SCRIPT} at most`);
  for (const name of scripts) {
    if (readFileSync(join(assets, name), "utf8").includes(MADE_UP)) {
      findings.wrong("product", `${name} holds a made-up machine`);
    }
  }
  const page = readFileSync(join(folder, "index.html"), "utf8");
  if (/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/.test(page)) {
    findings.wrong("product", "index.html has something inline, which the content security policy refuses");
  }
}
