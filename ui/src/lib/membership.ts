/** Whether a grid has let this machine in. */
import type { Connection, Status } from "../api/types";

/**
 * The link to the grid of which the machine is a member; null where it is of none. While a join code is tried, the
 * status has a connection already. It counts only once the grid has let the machine in: then it is connected, and from
 * then on the machine knows the grid's name.
 */
export function membership({ connection }: Status): Connection | null {
  return connection !== null && (connection.connected || connection.grid !== "") ? connection : null;
}
