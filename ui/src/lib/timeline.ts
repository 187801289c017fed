/** Events as a timeline for people: newest first, and the steps of a climb as one entry. */
import type { Event, EventKind } from "../api/types";
import { words } from "../words";
import { activeTime, share } from "./units";

const text = words.now.why;

export interface Entry {
  at: number;
  what: string;
  /** The reason; null if there is none to tell. */
  why: string | null;
}

type Allowance = Extract<EventKind, { event: "allowance" }>;

export function timeline(events: readonly Event[]): Entry[] {
  const entries: Entry[] = [];
  let before: Allowance | null = null;
  let climb: Entry | null = null;
  let ended: number | null = null;
  for (const { at_ms, what } of events) {
    if (what.event === "ended" || what.event === "ended_unexpectedly") ended = at_ms;
    if (what.event === "started") {
      entries.push({ at: at_ms, what: text.started, why: rested(ended, at_ms) });
      // Another run: what was allowed in the one before is no comparison.
      [ended, before] = [null, null];
      continue;
    }
    if (what.event !== "allowance") {
      entries.push({ at: at_ms, ...tell(what) });
      continue;
    }
    // A climb is many small steps; the last one tells how far it went.
    const climbs = what.kind === "climbing";
    if (climbs && climb !== null && climb === entries.at(-1)) entries.pop();
    const entry = { at: at_ms, what: change(what, before), why: what.reason };
    entries.push(entry);
    climb = climbs ? entry : null;
    before = what;
  }
  return entries.reverse();
}

/** From this width on the timeline has a column of its own, from this height on more room below the charts. */
const WIDE = 1440;
const LEAST_HEIGHT = 640;

/** How many entries fit into a window without scrolling, by its size in pixels. */
export function fitting(width: number, height: number): number {
  return width >= WIDE
    ? Math.max(6, Math.floor((height - 320) / 60))
    : 4 + Math.max(0, Math.floor((height - LEAST_HEIGHT) / 100));
}

function change(now: Allowance, before: Allowance | null): string {
  if (now.state === "paused") return text.paused;
  if (now.state === "stopped") return text.stopped;
  const to = now.gpu === null ? text.ofCpu(share(now.cpu)) : text.ofGpu(share(now.gpu));
  const difference = before === null ? null : (now.gpu ?? now.cpu) - (before.gpu ?? before.cpu);
  if (difference === null) return text.set(to);
  if (difference === 0) return text.stays(to);
  return difference < 0 ? text.slowed(to) : text.raised(to);
}

/** Less than this between two runs is a restart. */
const RESTART_MS = 60_000;

function rested(ended: number | null, started: number): string | null {
  if (ended === null || started - ended < RESTART_MS) return null;
  return text.startedAfter(activeTime((started - ended) / 1000));
}

function tell(what: Exclude<EventKind, Allowance | { event: "started" }>): { what: string; why: string | null } {
  switch (what.event) {
    case "loaded":
      return { what: text.loaded(what.model, duration(what.seconds)), why: null };
    case "unloaded":
      return { what: text.unloaded(what.model), why: null };
    case "ended":
      return { what: what.problem === null ? text.ended : text.failed, why: what.problem };
    case "ended_unexpectedly":
      return { what: text.endedUnexpectedly, why: text.endedUnexpectedlyWhy };
    case "revoked":
      return { what: text.revoked, why: what.reason };
    case "limits_reset":
      return { what: text.limitsReset, why: text.limitsKept(what.reason, what.kept) };
    default:
      return { what: text[what.event], why: null };
  }
}

/** `9.1 s`; what took hardly any time is not told as none. */
function duration(seconds: number): string {
  if (seconds < 0.05) return text.short;
  return text.seconds(seconds < 9.95 ? seconds.toFixed(1) : String(Math.round(seconds)));
}
