import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { poll, type Visibility } from "./poll";

class Page implements Visibility {
  hidden = false;
  #listener = () => {};
  addEventListener(_: "visibilitychange", listener: () => void) {
    this.#listener = listener;
  }
  removeEventListener() {
    this.#listener = () => {};
  }
  turn(hidden: boolean) {
    this.hidden = hidden;
    this.#listener();
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("asks at once, and again after each answer", async () => {
  const task = vi.fn(async () => {});
  const stop = poll(1000, task, new Page());
  expect(task).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(2500);
  expect(task).toHaveBeenCalledTimes(3);
  stop();
  await vi.advanceTimersByTimeAsync(5000);
  expect(task).toHaveBeenCalledTimes(3);
});

test("waits for a slow answer instead of asking twice", async () => {
  let answer = () => {};
  const task = vi.fn(() => new Promise<void>((done) => (answer = done)));
  const page = new Page();
  const stop = poll(1000, task, page);
  await vi.advanceTimersByTimeAsync(5000);
  page.turn(false);
  expect(task).toHaveBeenCalledTimes(1);
  answer();
  await vi.advanceTimersByTimeAsync(1000);
  expect(task).toHaveBeenCalledTimes(2);
  stop();
});

test("rests while the page is hidden, and asks at once when it is visible again", async () => {
  const task = vi.fn(async () => {});
  const page = new Page();
  const stop = poll(1000, task, page);
  await vi.advanceTimersByTimeAsync(0);
  page.turn(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(task).toHaveBeenCalledTimes(1);
  page.turn(false);
  expect(task).toHaveBeenCalledTimes(2);
  stop();
});
