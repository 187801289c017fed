/**
 * Looks at every page as a donor does: in a browser, dark and light, large and small, by keyboard alone.
 *
 *   node scripts/pages.mjs [--write]
 *
 * Fails where axe finds a serious violation, where anything sticks out of the window, where the strict content security
 * policy is broken, or where the walk by keyboard does not arrive. With --write it keeps pictures in docs/screenshots/.
 * CHROMIUM names the browser's program.
 */
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { auditAll } from "./pages/audit.mjs";
import { Browser } from "./pages/browser.mjs";
import { checkProduct } from "./pages/product.mjs";
import { Findings } from "./pages/findings.mjs";
import { serve } from "./pages/serve.mjs";
import { takePictures } from "./pages/pictures.mjs";
import { walkAll } from "./pages/walk.mjs";

const ui = fileURLToPath(new URL("..", import.meta.url));
const pictures = fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));

const findings = new Findings();
await build({ root: ui, configFile: `${ui}/vite.config.ts`, logLevel: "warn" });
await build({ root: ui, configFile: `${ui}/vite.gallery.config.ts`, logLevel: "warn" });
checkProduct(`${ui}/dist`, findings);

const site = await serve(`${ui}/dist-gallery`);
const browser = await Browser.start(site.address);
try {
  await walkAll(browser, findings);
  await auditAll(browser, findings);
  if (process.argv.includes("--write")) await takePictures(browser, pictures);
} finally {
  await browser.stop();
  site.close();
}
findings.report();
process.exitCode = findings.failed ? 1 : 0;
