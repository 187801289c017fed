/** The limits of the made-up machine, within what a policy leaves, and refused as the real worker refuses them. */
import type { Machine, Managed, RequestError, Setting } from "../../api/types";
import { allows } from "../../lib/limits/bound";
import { specOf } from "../../lib/limits/keys";
import { parseSchedule, within, writeSchedule } from "../../lib/schedule";
import * as v from "../../lib/value";
import { keepsHours, waitsForIdle, whenOf } from "../../lib/when";
import { KEYS, type Preset } from "./keys";
import type { Scenario } from "./scenarios";

export class FakeLimits {
  readonly #machine: Machine;
  readonly #managed: Record<string, Managed>;
  readonly managedBy: string | null;
  #preset: Preset = "balanced";
  /** What the donor chose, where it is not the preset's. */
  readonly #chosen: Map<string, string>;

  /** The signals that the machine does not have, and why. */
  readonly #absent: Map<string, string>;

  constructor(
    machine: Machine,
    managedBy: string | null,
    { managed, chosen, blindness }: Pick<Scenario, "managed" | "chosen" | "blindness">,
  ) {
    this.#machine = machine;
    this.managedBy = managedBy;
    this.#managed = managed;
    this.#chosen = new Map(Object.entries(chosen));
    this.#absent = new Map(
      Object.entries(blindness).flatMap(([signal, blind]) => ("absent" in blind ? [[signal, blind.absent]] : [])),
    );
  }

  /** Why the rule of a key is off although it is set. */
  #noSignal(name: string): string | null {
    const spec = specOf(name);
    const why = spec?.signal ? this.#absent.get(spec.signal) : undefined;
    const asked = name === "idle-after" && waitsForIdle(this.get("when"));
    return why === undefined || asked || this.get(name) === spec?.laxest ? null : why;
  }

  /** What holds. */
  get(name: string): string {
    return this.#clamp(name, this.#own(name));
  }

  part(name: string): number {
    return v.parsePercent(this.get(name)) ?? 0;
  }

  list(): Setting[] {
    return Object.entries(KEYS).map(([name, { help, range, presets }]) => ({
      key: name,
      value: this.get(name),
      changed: this.#own(name) !== presets[this.#preset],
      help: `${help} (${range})`,
      default: this.#clamp(name, presets[this.#preset]),
      managed: this.#managed[name] ?? null,
      no_signal: this.#noSignal(name),
    }));
  }

  choose(name: string): RequestError | null {
    if (name !== "quiet" && name !== "balanced" && name !== "full") return refuse("preset", name, "not known");
    this.#preset = name;
    this.#chosen.clear();
    return null;
  }

  /** All of the changes or none. */
  set(changes: readonly (readonly [string, string])[]): RequestError | null {
    const taken: [string, string][] = [];
    for (const [name, text] of changes) {
      const known = KEYS[name];
      if (!known) return { field: name, message: `there is no limit "${name}"` };
      const isDefault = text.trim() === v.DEFAULT;
      const read = isDefault ? { value: known.presets[this.#preset] } : known.read(text);
      if ("problem" in read) return refuse(name, text, read.problem);
      const bound = this.#managed[name]?.bound;
      if (bound !== undefined && !isDefault && !allows(bound, name, read.value, this.#machine)) {
        return {
          field: name,
          message: `${name} = ${read.value} is more than the ${bound} that ${this.managedBy} allows`,
        };
      }
      taken.push([name, read.value]);
    }
    const preset = taken.find(([name]) => name === "preset");
    if (preset) this.choose(preset[1]);
    for (const [name, value] of taken) if (name !== "preset") this.#chosen.set(name, value);
    return null;
  }

  #own(name: string): string {
    if (name === "preset") return this.#preset;
    return this.#chosen.get(name) ?? KEYS[name]?.presets[this.#preset] ?? "";
  }

  /** The stricter of a value and its bound. */
  #clamp(name: string, own: string): string {
    const bound = this.#managed[name]?.bound;
    if (bound === undefined || allows(bound, name, own, this.#machine)) return own;
    switch (name) {
      case "when":
        return whenOf(waitsForIdle(own) || waitsForIdle(bound), keepsHours(own) || keepsHours(bound));
      case "schedule":
        return this.#hours(own, bound);
      case "stop-for":
        return v.writePrograms([...new Set([...v.parsePrograms(own), ...v.parsePrograms(bound)])]);
      default:
        return bound;
    }
  }

  /** Who lends at any hour lends in all that are left. */
  #hours(own: string, bound: string): string {
    const [hours, most] = [parseSchedule(own), parseSchedule(bound)];
    if (!hours || !most || !keepsHours(this.#own("when"))) return bound;
    return writeSchedule(within(hours, most));
  }
}

function refuse(name: string, value: string, problem: string): RequestError {
  return { field: name, message: `${name} = ${value} is ${problem}: ${KEYS[name]?.range}` };
}
