/** The limits' keys, as the worker's own table describes them. */
import { LIMIT_KEYS, type KeySpec, type ValueKind } from "../../api/limit-keys";

export type LimitKey = keyof typeof LIMIT_KEYS;

/** The keys whose values are of one of these kinds. */
export type KeyOf<Kind extends ValueKind["kind"]> = {
  [Key in LimitKey]: (typeof LIMIT_KEYS)[Key]["values"]["kind"] extends Kind ? Key : never;
}[LimitKey];

const SPECS: Record<string, KeySpec> = LIMIT_KEYS;

/** What a key takes; nothing for a key that a newer worker has. */
export function specOf(key: string): KeySpec | undefined {
  return SPECS[key];
}
