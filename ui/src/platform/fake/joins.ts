/** How attempts to join end, in the real worker's words. */
import type { GridAbout, LeftGrid, RequestError, Response } from "../../api/types";

const PREFIX = "gogrid1-";

/** What is wrong with a code, before anything is tried. */
export function wrongCode(code: string): string | null {
  if (!code.startsWith(PREFIX)) return "a join code starts with `gogrid1-`";
  const character = /[^a-z2-7]/.exec(code.slice(PREFIX.length))?.[0];
  if (character) return `a join code has the letters a to z and the digits 2 to 7 only, not '${character}'`;
  if (code.length < 30) return "this join code is incomplete or has a typing error (its checksum does not match)";
  return null;
}

const refused = (message: string): RequestError => ({ field: "code", message });

/** The refusals of a coordinator, and of a network; a code is named after the one that it meets. */
export const REFUSALS: Record<string, RequestError> = {
  used: refused("this join code was used already: ask for a new one"),
  expired: refused("this join code has expired: ask for a new one"),
  foreign: refused("this coordinator did not make that join code"),
  version: refused("the worker speaks protocol version 1, the coordinator 2: update the older one"),
  unreachable: {
    field: null,
    message: "the coordinator of this join code cannot be reached from this computer: ask whether it runs",
  },
};

/** A code that is well-formed, and meets this refusal. */
export function codeThatIs(kind: string): string {
  return PREFIX + kind.padEnd(32, "a");
}

export function refusalOf(code: string): RequestError | null {
  const kind = Object.keys(REFUSALS).find((kind) => code === codeThatIs(kind));
  return kind === undefined ? null : (REFUSALS[kind] ?? null);
}

/** What a code says; every good one is of the same grid. */
export function details(code: string, coordinator: string, grid: string): Response {
  const wrong = wrongCode(code.trim());
  if (wrong) return { response: "refused", body: refused(wrong) };
  return { response: "code", body: { grid, coordinator, addresses: ["10.20.0.4:7450", "192.0.2.17:7450"] } };
}

const COME_BACK_MS = 600_000;

/** The grid that was left now. */
export function leftNow(grid: string): LeftGrid {
  return { grid, until_ms: Date.now() + COME_BACK_MS };
}

export const TOO_LATE = "the time to come back without a new join code is over: ask for a new one";

/** What the grid's operator wrote. */
export const ABOUT: GridAbout = {
  owner: "Platform team, floor 3",
  contact: "platform@example.org",
  purpose: "Drafts, summaries and code for everybody at Example, on our own computers",
  models: ["Qwen3-8B: the general one", "demo: to try things out"],
  answers_today: 412,
  api: { url: "http://10.20.0.4:8080", local: false },
};
