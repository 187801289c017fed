/** States for tests. */
import type { AppState, Status } from "./api/types";
import { markOf } from "./platform/fake";
import { FakeMachine } from "./platform/fake/machine";
import { SCENARIOS, type ScenarioName } from "./platform/fake/scenarios";

export function status(changes: Partial<Status> = {}, scenario: ScenarioName = "working"): Status {
  return { ...new FakeMachine(SCENARIOS[scenario]).status(), ...changes };
}

/** A status with other values of limits. */
export function withLimits(
  values: Record<string, string>,
  changes: Partial<Status> = {},
  scenario?: ScenarioName,
): Status {
  const base = status(changes, scenario);
  const limits = base.limits.map((setting) => ({ ...setting, value: values[setting.key] ?? setting.value }));
  return { ...base, limits };
}

export function app(changes: Partial<AppState> = {}): AppState {
  const worker = changes.worker ?? { process: "running", build: "cuda", fallback: null };
  const shown = changes.status === undefined ? status() : changes.status;
  return {
    mark: markOf(worker, shown),
    worker,
    status: shown,
    settings: {
      welcomed: true,
      autostart: false,
      machine_name: "",
      key_file: false,
      notify: { joined: true, revoked: true, gpu_lost: true },
    },
    notices: [],
    version: "0.4.0",
    key_store: { store: "system" },
    update: null,
    offered_code: null,
    join_asked: 0,
    ...changes,
  };
}
