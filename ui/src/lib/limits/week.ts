/** The week grid's cursor: where the keyboard is, and what it has selected. */
import { QUARTERS } from "../schedule";

/** A day, from Monday on, and a quarter of an hour of it. */
export type Cell = readonly [day: number, quarter: number];

/** The step of the arrow keys with Ctrl in quarters: an hour. */
const HOUR = 4;

export interface Keys {
  key: string;
  ctrlKey: boolean;
}

/** Where a key moves the cursor; null for other keys. */
export function move([day, quarter]: Cell, { key, ctrlKey }: Keys): Cell | null {
  const step = ctrlKey ? HOUR : 1;
  const moved: Record<string, Cell> = {
    ArrowLeft: [day, quarter - step],
    ArrowRight: [day, quarter + step],
    ArrowUp: [day - 1, quarter],
    ArrowDown: [day + 1, quarter],
    Home: [day, 0],
    End: [day, QUARTERS - 1],
  };
  const cell = moved[key];
  return cell ? inside(cell) : null;
}

function inside([day, quarter]: Cell): Cell {
  return [Math.min(6, Math.max(0, day)), Math.min(QUARTERS - 1, Math.max(0, quarter))];
}

/** Whether a cell lies between two corners. */
export function between([day, quarter]: Cell, [day1, quarter1]: Cell, [day2, quarter2]: Cell): boolean {
  const within = (value: number, one: number, other: number) =>
    value >= Math.min(one, other) && value <= Math.max(one, other);
  return within(day, day1, day2) && within(quarter, quarter1, quarter2);
}

/** The cell under a point of a box of seven rows. */
export function cellAt(x: number, y: number, box: { left: number; top: number; width: number; height: number }): Cell {
  const part = (at: number, start: number, size: number, count: number) => Math.floor(((at - start) / size) * count);
  return inside([part(y, box.top, box.height, 7), part(x, box.left, box.width, QUARTERS)]);
}
