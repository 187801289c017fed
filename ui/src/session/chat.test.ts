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
  expect([chat.busy, chat.messages[1], chat.error]).toEqual([
    false,
    {
      role: "assistant",
      text: expect.stringMatching(/^You asked: Why\?/) as string,
      model: "Qwen3-8B",
      stopped: false,
    },
    null,
  ]);
  chat.model = "demo";
  const sent = vi.spyOn(platform, "askGrid");
  chat.draft = "And then?";
  const again = chat.ask(platform);
  await vi.runAllTimersAsync();
  await again;
  const roles = ["user", "assistant", "user"];
  expect(sent.mock.calls[0]?.[0].messages.map((message) => Object.keys(message))).toEqual(
    roles.map(() => ["role", "text"]),
  );
  expect(sent.mock.calls[0]?.[0].messages.map(({ role }) => role)).toEqual(roles);
  // The first answer was and stays the other model's.
  expect(chat.messages.map((said) => said.role === "assistant" && said.model)).toEqual([
    false,
    "Qwen3-8B",
    false,
    "demo",
  ]);
});

test("an answer that is stopped stays as far as it came", async () => {
  const { platform, chat } = await start();
  chat.draft = "Why?";
  const asked = chat.ask(platform);
  await vi.advanceTimersByTimeAsync(100);
  await platform.stopAsking();
  await vi.runAllTimersAsync();
  await asked;
  expect(chat.messages[1]).toEqual({ role: "assistant", text: "You asked:", model: "Qwen3-8B", stopped: true });
});

test("a question that the grid refuses says why and comes back to be asked again", async () => {
  const { platform, chat } = await start();
  chat.model = "Llama-70B";
  chat.draft = "Why?";
  await chat.ask(platform);
  expect(chat.error).toMatch(/not ready/);
  expect([chat.draft, chat.messages.length, chat.busy]).toEqual(["Why?", 0, false]);
});

test("an answer that is stopped before its first word leaves nothing behind", async () => {
  const { platform, chat } = await start();
  chat.draft = "Why?";
  const asked = chat.ask(platform);
  await platform.stopAsking();
  await vi.runAllTimersAsync();
  await asked;
  expect([chat.messages, chat.draft, chat.error]).toEqual([[], "Why?", null]);
});

test("models that are not told stand apart from an answer, and can be asked for again", async () => {
  const { platform, chat } = await start();
  const lists = vi.spyOn(platform, "gridModels").mockRejectedValueOnce(new Error("The grid does not answer."));
  await chat.load(platform);
  expect(chat.obstacle).toEqual({ message: "The grid does not answer.", asksForKey: false });
  chat.model = "Llama-70B";
  chat.draft = "Why?";
  await chat.ask(platform);
  expect(chat.error).toMatch(/not ready/);
  await chat.load(platform);
  expect(lists).toHaveBeenCalledTimes(2);
  // What went wrong with the answer is still true.
  expect([chat.obstacle, chat.error]).toEqual([null, expect.stringMatching(/not ready/)]);
});

test("a grid that asks for a key gets the donor's, until it is forgotten", async () => {
  const [platform, chat] = [new FakePlatform("keyed"), new Chat()];
  await chat.load(platform);
  expect([chat.obstacle, chat.models]).toEqual([
    { message: "This grid asks for a key. Its operator has yours.", asksForKey: true },
    null,
  ]);
  await chat.useKey(platform, "gg-other");
  expect(chat.obstacle?.message).toMatch(/does not take this key/);
  await chat.useKey(platform, "gg-example");
  expect([chat.obstacle, chat.key, chat.model]).toEqual([null, "kept", "Qwen3-8B"]);
  expect(JSON.stringify(chat), "the page forgets it at once").not.toContain("gg-example");
  await chat.forgetKey(platform);
  expect([chat.key, chat.obstacle?.asksForKey]).toEqual(["none", true]);
  // A key that ends while somebody chats: the question is not lost.
  chat.draft = "Why?";
  await chat.ask(platform);
  expect([chat.draft, chat.messages, chat.obstacle?.asksForKey, chat.error]).toEqual(["Why?", [], true, null]);
});

test("an empty question is not asked", async () => {
  const { platform, chat } = await start();
  const sent = vi.spyOn(platform, "askGrid");
  chat.draft = "  ";
  await chat.ask(platform);
  expect(sent).not.toHaveBeenCalled();
});
