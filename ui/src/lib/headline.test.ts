import { expect, test } from "vitest";
import type { AppState, Status } from "../api/types";
import { app, status } from "../testing";
import { headline } from "./headline";
import { THIN } from "./units";

function told(state: AppState | null, lost: string | null = null) {
  const { mark, title, sentence } = headline(state, lost);
  return [mark, title, sentence.replaceAll(THIN, " ")];
}

const of = (changes: Partial<Status>) => told(app({ status: status(changes) }));
const allowance = (changes: Partial<Status["allowance"]>) => ({ ...status().allowance, ...changes });

test("working says for whom, what, why and how much", () => {
  expect(of({ state: "working" })).toEqual([
    "working",
    "Working",
    "Computes a part of Qwen3-8B for Example Grid. Nothing holds GoGrid back. GoGrid takes up to 60 % of the GPU.",
  ]);
});

test("slowed down says why", () => {
  const changes = allowance({ gpu: 150, reason: { kind: "others_gpu", load: 620 } });
  expect(of({ state: "throttled", allowance: changes })[2]).toBe(
    "Computes a part of Qwen3-8B for Example Grid. Other programs use 62 % of the GPU. GoGrid takes up to 15 % of the GPU.",
  );
});

test("a signal that fails is told with what follows from it", () => {
  const reason = { kind: "unknown", signal: "temperature", why: "no sensor answers" } as const;
  expect(of({ state: "throttled", allowance: allowance({ reason }) })[2]).toContain(
    "Heat cannot be read, so GoGrid stays at its in-use limit.",
  );
  const away = { ...reason, signal: "user_idle" } as const;
  expect(of({ state: "stopped", allowance: allowance({ reason: away }) })[2]).toBe(
    "The time since the last input cannot be read, so GoGrid does not know when you are away.",
  );
});

test("without a GPU the CPU is told in cores", () => {
  const machine = { ...status().machine, gpu_name: null, gpu_memory: null };
  expect(of({ state: "working", machine, allowance: allowance({ cpu: 250 }) })[2]).toContain("up to 2 of 8 cores.");
});

test("stages of one model are told once, those that are not loaded not at all", () => {
  const [stage] = status().stages;
  if (!stage) throw new Error("the made-up machine has a stage");
  const stages: Status["stages"] = [
    stage,
    { ...stage, layers: [0, 1] },
    { ...stage, model: "demo", layers: [0, 1] },
    { ...stage, model: "other", loaded: false },
  ];
  expect(of({ state: "working", stages })[2]).toMatch(/^Computes a part of Qwen3-8B and demo for Example Grid\./);
  expect(of({ state: "working", stages: [] })[2]).toMatch(/^For Example Grid\./);
});

test("a pause says until when", () => {
  const until = { at: "2026-11-25T14:30:00", today: true };
  expect(of({ state: "paused", allowance: allowance({ reason: { kind: "paused", until } }) })[1]).toBe(
    "Paused until 14:30",
  );
  const tomorrow = { at: "2026-11-26T08:00:00", today: false };
  expect(of({ state: "paused", allowance: allowance({ reason: { kind: "paused", until: tomorrow } }) })[1]).toBe(
    "Paused until 08:00 on 26 November 2026",
  );
  expect(of({ state: "paused", allowance: allowance({ reason: { kind: "paused", until: null } }) })[1]).toBe("Paused");
});

test("a pause after the answers is told before it begins", () => {
  expect(of({ pausing_after_answers: true })[1]).toBe("Finishing, then pausing");
});

test("a grid without a name is yours", () => {
  const connection = { coordinator: "00", grid: "", connected: false, problem: "it does not answer" };
  expect(of({ state: "connecting", connection })[2]).toBe(
    "Looking for your grid: it does not answer. GoGrid keeps trying by itself.",
  );
});

test("a worker that does not answer says why", () => {
  const waiting = app({
    worker: { process: "waiting", died: "out of memory", retry_in_ms: 3200, times: 2 },
    status: null,
  });
  expect(told(waiting)).toEqual([
    "error",
    "The engine stopped",
    "The part of GoGrid that computes has ended. It starts again in 4 s.",
  ]);
  const held = app({ worker: { process: "held", why: "The key store is locked." }, status: null });
  expect(told(held)).toEqual(["error", "Waiting for you", "The key store is locked."]);
  expect(told(app({ worker: { process: "starting" }, status: null }))[1]).toBe("Starting");
  expect(told(app({ status: null }))[1]).toBe("Starting");
});

test("before the first answer, and without one", () => {
  expect(told(null)[1]).toBe("One moment");
  expect(told(null, "no such command")).toEqual(["error", "No answer from GoGrid", "no such command"]);
});
