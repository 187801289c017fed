import { expect, test } from "vitest";
import { THIN } from "../lib/units";
import { FakePlatform } from "../platform/fake";
import type { ScenarioName } from "../platform/fake/scenarios";
import { LimitEditor } from "./limits.svelte";
import { Session } from "./session.svelte";

/** A session with a made-up machine that counts what it is asked to set. */
async function start(scenario: ScenarioName = "working") {
  const platform = new FakePlatform(scenario);
  const sets: string[] = [];
  const worker = platform.worker.bind(platform);
  platform.worker = (request) => {
    if (request.request === "set") sets.push(request.changes.map((change) => change.join("=")).join(" "));
    return worker(request);
  };
  const session = new Session(platform);
  session.app = await platform.appState();
  const value = (key: string) => session.status?.limits.find((limit) => limit.key === key)?.value;
  return { session, editor: new LimitEditor(session), value, sets };
}

test("a change takes effect, and can be taken back", async () => {
  const { session, editor, value } = await start();
  expect(await editor.commit("cpu", "25%", "25 %")).toBe(true);
  expect(value("cpu")).toBe("25%");
  const [toast] = session.toasts.list;
  expect(toast?.text).toBe("CPU: 25 %");
  toast?.undo?.();
  await expect.poll(() => value("cpu")).toBe("50%");
  expect(session.status?.limits.find(({ key }) => key === "cpu")?.changed).toBe(false);
});

test("a slider sends what it was at last, and goes back to where it began", async () => {
  const { session, editor, value, sets } = await start();
  for (const step of ["45%", "40%", "35%", "30%"]) editor.slide("cpu", step);
  await editor.commit("cpu", "25%", "25 %");
  expect(sets.length).toBeLessThan(4);
  expect(sets.at(-1)).toBe("cpu=25%");
  session.toasts.list[0]?.undo?.();
  await expect.poll(() => value("cpu")).toBe("50%");
});

test("what is refused is said at its field, and changes nothing", async () => {
  const { session, editor, value } = await start();
  expect(await editor.commit("cpu", "150", "150")).toBe(false);
  expect(editor.errors.get("cpu")).toBe("Enter 1 to 100 %.");
  expect([value("cpu"), editor.value("cpu")]).toEqual(["50%", "50%"]);
  expect(session.toasts.list).toEqual([]);
  await editor.commit("cpu", "30", "30 %");
  expect(editor.errors.size).toBe(0);
});

test("a value beyond what somebody else allows says what is left", async () => {
  const { editor } = await start("managed");
  expect(await editor.commit("cpu", "80%", "80 %")).toBe(false);
  expect(editor.errors.get("cpu")?.replaceAll(THIN, " ")).toBe("Managed by Example GmbH: at most 40 %.");
});

test("a preset undoes every change, and undo brings them back", async () => {
  const { session, editor, value } = await start();
  await editor.commit("cpu", "30%", "30 %");
  await editor.choose("quiet", "Preset: Quiet");
  expect([value("preset"), value("cpu")]).toEqual(["quiet", "25%"]);
  session.toasts.list[0]?.undo?.();
  await expect.poll(() => value("cpu")).toBe("30%");
  expect(value("preset")).toBe("balanced");
});

test("a limit goes back to its preset", async () => {
  const { editor, value } = await start();
  await editor.commit("gpu", "80%", "80 %");
  await editor.reset("gpu");
  expect(value("gpu")).toBe("60%");
});
