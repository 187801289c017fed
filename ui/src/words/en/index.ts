/** Every English string of the page. Those with values are functions; figures come with their units. */
import { ask } from "./ask";
import { connection } from "./connection";
import { contribution } from "./contribution";
import { diagnostics } from "./diagnostics";
import { examples } from "./examples";
import { history } from "./history";
import { leaves } from "./leaves";
import { limits } from "./limits";
import { now } from "./now";
import { state } from "./state";
import { trouble } from "./trouble";
import { weights } from "./weights";
import { welcome } from "./welcome";

export const en = {
  /** For dates, times and large numbers. */
  locale: "en-GB",
  name: "GoGrid",
  units: {
    of: (part: string, whole: string) => `${part} of ${whole}`,
    upTo: (part: string, most: string) => `${part} up to ${most}`,
    cores: (count: number) => (count === 1 ? "1 core" : `${count} cores`),
    million: (value: string) => `${value} million`,
    perSecond: (value: string) => `${value} per second`,
    hours: (value: string) => (value === "1" ? "1 hour" : `${value} hours`),
    minutes: (value: number) => (value === 1 ? "1 minute" : `${value} minutes`),
    seconds: (value: number) => (value === 1 ? "1 second" : `${value} seconds`),
  },
  list: (items: readonly string[]) =>
    items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`,
  either: (items: readonly string[]) =>
    items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} or ${items.at(-1)}`,
  nav: {
    label: "Pages",
    now: "Now",
    limits: "Limits",
    contribution: "Contribution",
    history: "History",
    connection: "Connection",
    ask: "Ask",
    diagnostics: "Diagnostics",
    managed: (by: string) => `Managed by ${by}`,
  },
  actions: {
    pause: "Pause",
    resume: "Resume",
    pauseMore: "Pause for…",
    pauseFor: {
      quarter: "15 minutes",
      hour: "1 hour",
      tomorrow: "Until tomorrow",
      answers: "After the current answers",
    },
    undo: "Undo",
    dismiss: "Dismiss",
    cancel: "Cancel",
    tryAgain: "Try again",
    failed: (why: string) => `That did not work: ${why}`,
  },
  state,
  trouble,
  now,
  limits,
  examples,
  contribution,
  history,
  connection,
  ask,
  leaves,
  diagnostics,
  weights,
  welcome,
};
