/** How attempts to join end, in the real worker's words. */
import type { RequestError } from "../../api/types";

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
  unreachable: { field: null, message: "the coordinator of this join code does not answer: timed out" },
};

/** A code that is well-formed, and meets this refusal. */
export function codeThatIs(kind: string): string {
  return PREFIX + kind.padEnd(32, "a");
}

export function refusalOf(code: string): RequestError | null {
  const kind = Object.keys(REFUSALS).find((kind) => code === codeThatIs(kind));
  return kind === undefined ? null : (REFUSALS[kind] ?? null);
}
