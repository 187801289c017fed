import { expect, test } from "vitest";
import { GONE_REASONS, LEAVES, LOAD_FAILURES, STOP_REASONS } from "../api/leaves";
import { words } from "../words";
import { LINES } from "./leaves";

test("every field that leaves this computer has exactly one line on the page", () => {
  const said: readonly string[] = Object.values(LINES).flat();
  expect([...said].sort()).toEqual([...LEAVES].sort());
});

test("the page says each word that is told of why this computer takes no work", () => {
  for (const reason of [...STOP_REASONS, ...GONE_REASONS]) {
    expect(words.leaves.lines.takesWork.text).toContain(reason);
  }
  for (const reason of LOAD_FAILURES) expect(words.leaves.lines.failures.text).toContain(reason);
});

test("the page says in plain words what leaves beside that", () => {
  const said = JSON.stringify(words.leaves);
  expect(said).toMatch(/newer version/);
  expect(said).toMatch(/page Ask/);
  expect(said).not.toMatch(/activation|layer|token/i);
});
