import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/**
 * The policy under which the shell shows the page, but for its own way to talk to it. Nothing inline, not even styles:
 * what sets a style does so from a script. Frames are for the gallery's list of pages.
 */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; frame-src 'self'";

/**
 * A server of a folder on a free port of this machine.
 * @param {string} folder
 * @returns {Promise<{ address: string, close: () => void }>}
 */
export async function serve(folder) {
  const root = resolve(folder);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const file = join(root, normalize(pathname));
    if (!file.startsWith(root) || extname(file) === "" || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[/** @type {keyof typeof TYPES} */ (extname(file))] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "content-security-policy": POLICY });
    createReadStream(file).pipe(response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { address: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}
