/** What lending costs: energy, and money by the donor's price. */
import type { Days, EnergyFigures } from "../api/types";
import { words } from "../words";
import type { Sum } from "./days";
import { energy, THIN } from "./units";

/** Whether figures of energy are those of meters. */
export type Certainty = "measured" | "partly" | "estimated";

/** Above this part of the whole a figure counts as measured, below its complement as estimated. */
const NEARLY_ALL = 0.98;

export function certainty({ energyWh, meteredWh }: Sum): Certainty {
  const part = energyWh === 0 ? 0 : meteredWh / energyWh;
  if (part >= NEARLY_ALL) return "measured";
  return part > 1 - NEARLY_ALL ? "partly" : "estimated";
}

/** What the computer draws at rest, in watts, and whether the donor or meters say so; null if nobody does. */
export function atRest({ figures, rest_watts }: Days): { watts: number; by: "donor" | "meters" } | null {
  if (figures.rest_watts !== null) return { watts: figures.rest_watts, by: "donor" };
  return rest_watts === null ? null : { watts: rest_watts, by: "meters" };
}

/** What the computer at rest took while GoGrid ran, in watt-hours. */
export function restWh({ runningSeconds }: Sum, watts: number): number {
  return (watts * runningSeconds) / 3600;
}

/** `0.42 kWh, 0.13 €`; energy alone without a price. */
export function costText(wattHours: number, { price, currency }: EnergyFigures): string {
  if (price === null) return energy(wattHours);
  const money = ((wattHours / 1000) * price).toLocaleString(words.locale, {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
  return `${energy(wattHours)}, ${money}${currency === "" ? "" : `${THIN}${currency}`}`;
}

/** A number in a field: null if the field is empty, NaN if it is no number. A comma is a point. */
export function parseFigure(text: string): number | null {
  const plain = text.trim().replace(",", ".");
  if (plain === "") return null;
  return /^\d+(\.\d+)?$/.test(plain) ? Number(plain) : Number.NaN;
}
