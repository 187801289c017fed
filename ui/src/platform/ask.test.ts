import { expect, test } from "vitest";
import { FakePlatform } from "./fake";
import { ask } from "./ask";
import { Refusal } from "./platform";

const working = new FakePlatform("working");

test("an answer of the kind that was asked for is its body", async () => {
  const history = await ask(working, { request: "history", range: "minute" }, "history");
  expect(history.points).toHaveLength(60);
});

test("a refusal names its field", async () => {
  const refused = ask(working, { request: "set", changes: [["network", "10Mb/s"]] }, "done");
  await expect(refused).rejects.toMatchObject({ name: "Refusal", field: "network" });
});

test("an answer of another kind is an error, not a value", async () => {
  await expect(ask(working, { request: "limits" }, "days")).rejects.toThrow("answered limits where days was expected");
});

test("whatever is thrown becomes a refusal", () => {
  expect(Refusal.from({ field: "code", message: "wrong" })).toMatchObject({ field: "code", message: "wrong" });
  expect(Refusal.from("not allowed")).toMatchObject({ field: null, message: "not allowed" });
  expect(Refusal.from(new Error("lost"))).toMatchObject({ field: null, message: "lost" });
});
