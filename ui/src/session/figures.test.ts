import { expect, test } from "vitest";
import type { EnergyFigures } from "../api/types";
import { FigureEdits } from "./figures";

function start() {
  let held: EnergyFigures = { price: 0.3, currency: "€", rest_watts: null, full_watts: null };
  const edits = new FigureEdits(
    () => held,
    async (figures) => {
      await Promise.resolve();
      if (figures.price === -1) throw new Error("out of range");
      held = figures;
    },
  );
  return { edits, held: () => held };
}

test("figures that are typed fast do not take each other back", async () => {
  const { edits, held } = start();
  await Promise.all([
    edits.change({ price: 0.4 }),
    edits.change({ rest_watts: 20 }),
    edits.change({ currency: "CHF" }),
  ]);
  expect(held()).toEqual({ price: 0.4, currency: "CHF", rest_watts: 20, full_watts: null });
});

test("what was before one change undoes that one alone", async () => {
  const { edits, held } = start();
  const before = await edits.change({ price: 0.4 });
  await edits.change({ rest_watts: 20 });
  await edits.change(before);
  expect(held()).toEqual({ price: 0.3, currency: "€", rest_watts: 20, full_watts: null });
});

test("a refused figure holds up no other", async () => {
  const { edits, held } = start();
  const refused = edits.change({ price: -1 });
  const taken = edits.change({ full_watts: 90 });
  await expect(refused).rejects.toThrow("out of range");
  await taken;
  expect(held()).toMatchObject({ price: 0.3, full_watts: 90 });
});
