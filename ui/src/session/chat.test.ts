import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakePlatform } from "../platform/fake";
import { Chat } from "./chat.svelte";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function start() {
  const [platform, chat] = [new FakePlatform("working"), new Chat()];
  await chat.load(platform);
  return { platform, chat };
}

test("an answer is streamed, and the next question brings the chat along", async () => {
  const { platform, chat } = await start();
  expect(chat.model).toBe("Qwen3-8B");
  chat.draft = " Why? ";
  const asked = chat.ask(platform);
  await vi.advanceTimersByTimeAsync(100);
  expect([chat.busy, chat.draft, chat.messages[0]]).toEqual([true, "", { role: "user", text: "Why?" }]);
  expect(chat.messages[1]?.text).toBe("You asked:");
  await vi.runAllTimersAsync();
  await asked;
  expect([chat.busy, chat.stopped, chat.error]).toEqual([false, false, null]);
  const sent = vi.spyOn(platform, "askGrid");
  chat.draft = "And then?";
  const again = chat.ask(platform);
  await vi.runAllTimersAsync();
  await again;
  expect(sent.mock.calls[0]?.[0].messages.map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
});

test("an answer that is stopped stays as far as it came", async () => {
  const { platform, chat } = await start();
  chat.draft = "Why?";
  const asked = chat.ask(platform);
  await vi.advanceTimersByTimeAsync(100);
  await platform.stopAsking();
  await vi.runAllTimersAsync();
  await asked;
  expect([chat.stopped, chat.messages[1]?.text]).toEqual([true, "You asked:"]);
});

test("a question that the grid refuses says why and comes back to be asked again", async () => {
  const { platform, chat } = await start();
  chat.model = "Llama-70B";
  chat.draft = "Why?";
  await chat.ask(platform);
  expect(chat.error).toMatch(/not ready/);
  expect([chat.draft, chat.messages.length, chat.busy]).toEqual(["Why?", 0, false]);
});

test("an empty question is not asked", async () => {
  const { platform, chat } = await start();
  const sent = vi.spyOn(platform, "askGrid");
  chat.draft = "  ";
  await chat.ask(platform);
  expect(sent).not.toHaveBeenCalled();
});
