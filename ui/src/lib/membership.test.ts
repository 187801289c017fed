import { expect, test } from "vitest";
import { status } from "../testing";
import { membership } from "./membership";

const connection = { coordinator: "8a", grid: "Example Grid", connected: true, problem: null };

test("a machine is a member of the grid that let it in, also while that is away", () => {
  expect(membership(status({ connection }))).toBe(connection);
  const away = { ...connection, connected: false, problem: "nobody answers" };
  expect(membership(status({ connection: away }))).toBe(away);
});

test("a machine that tries a code is a member of none", () => {
  expect(membership(status({ connection: null }))).toBeNull();
  expect(membership(status({ connection: { ...connection, grid: "", connected: false } }))).toBeNull();
});
