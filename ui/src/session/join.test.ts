import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { membership } from "../lib/membership";
import { ask } from "../platform/ask";
import { FakePlatform } from "../platform/fake";
import { codeThatIs, REFUSALS } from "../platform/fake/joins";
import { JoinAttempt } from "./join.svelte";
import { Session } from "./session.svelte";

const GOOD = "gogrid1-mfzwizltoqxgk3lq4rqw2zjoe5xgk2lb";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A session on a machine that has joined nothing, which hears of every change as from the shell. */
async function start() {
  const session = new Session(new FakePlatform("not-joined"));
  await session.follow();
  const isMember = () => session.status !== null && membership(session.status) !== null;
  return { session, isMember };
}

test.each(Object.entries(REFUSALS))("a join that is %s says so and keeps the code", async (kind, { message }) => {
  const { session, isMember } = await start();
  const attempt = session.typedJoin;
  attempt.code = ` ${codeThatIs(kind)} `;
  const joined = attempt.run(session.platform);
  await vi.advanceTimersByTimeAsync(0);
  expect(attempt.busy).toBe(true);
  expect(session.status?.state).toBe("connecting");
  expect(isMember()).toBe(false);
  await vi.runOnlyPendingTimersAsync();
  expect(await joined).toBe(false);
  expect([attempt.busy, attempt.error, attempt.code.trim()]).toEqual([false, message, codeThatIs(kind)]);
  expect(session.status?.state).toBe("not_joined");
  expect(isMember()).toBe(false);
});

test("a code with a typing error is refused before anything is tried", async () => {
  const { session } = await start();
  const attempt = new JoinAttempt("gogrid1-no");
  expect(await attempt.run(session.platform)).toBe(false);
  expect(attempt.error).toMatch(/incomplete/);
  expect(attempt.code).toBe("gogrid1-no");
});

test("a machine that is let in is a member, and the form is empty again", async () => {
  const { session, isMember } = await start();
  const attempt = new JoinAttempt(GOOD);
  attempt.error = "of the attempt before";
  const joined = attempt.run(session.platform);
  await vi.advanceTimersByTimeAsync(0);
  expect([attempt.error, session.status?.state, isMember()]).toEqual([null, "connecting", false]);
  await vi.runOnlyPendingTimersAsync();
  expect(await joined).toBe(true);
  expect([isMember(), attempt.code, attempt.busy]).toEqual([true, "", false]);
});

test("a code is read before it is used, and a grid that was left is joined again without one", async () => {
  const { session, isMember } = await start();
  const details = await ask(session.platform, { request: "read_code", code: GOOD }, "code");
  expect([details.grid, isMember(), session.status?.state]).toEqual(["Example Grid", false, "not_joined"]);
  await expect(ask(session.platform, { request: "join_again" }, "done")).rejects.toThrow(/is over/);
  const joined = new JoinAttempt(GOOD).run(session.platform);
  await vi.runOnlyPendingTimersAsync();
  await joined;
  await session.command({ request: "leave" });
  expect([session.status?.left?.grid, isMember()]).toEqual(["Example Grid", false]);
  const again = session.command({ request: "join_again" });
  await vi.runOnlyPendingTimersAsync();
  expect([await again, session.status?.left, isMember()]).toEqual([true, null, true]);
});

test("one attempt at a time, and none without a code", async () => {
  const { session } = await start();
  const asked = vi.spyOn(session.platform, "worker");
  const attempt = new JoinAttempt(GOOD);
  const first = attempt.run(session.platform);
  expect(await attempt.run(session.platform)).toBe(false);
  await vi.runOnlyPendingTimersAsync();
  await first;
  expect(await new JoinAttempt("  ").run(session.platform)).toBe(false);
  expect(asked).toHaveBeenCalledTimes(1);
});

test("an offered code has an attempt of its own, which stays while the code is offered", () => {
  const session = new Session(new FakePlatform("not-joined"));
  const first = session.offeredJoin("gogrid1-one");
  expect(first.code).toBe("gogrid1-one");
  expect(session.offeredJoin("gogrid1-one")).toBe(first);
  expect(session.offeredJoin("gogrid1-two")).not.toBe(first);
  expect(session.typedJoin.code).toBe("");
});
