import { GONE_REASONS, LOAD_FAILURES, STOP_REASONS } from "../../api/leaves";
import type { Line } from "../../lib/leaves";

const quoted = (reasons: readonly string[]) => reasons.map((reason) => `“${reason}”`).join(", ");

/** What leaves this computer, all of it. */
const lines: Record<Line, { title: string; text: string }> = {
  who: {
    title: "Who it is",
    text: "Its key, its name as set above, its network addresses, GoGrid's version, and once the secret of the join code.",
  },
  device: {
    title: "What computes",
    text: "Whether the processor or which graphics card is lent, and which kinds of models the program can compute and in how much memory.",
  },
  lends: { title: "What you lend", text: "How much memory models may take. No other limit of yours, and no schedule." },
  takesWork: {
    title: "Whether it takes work",
    text: `Yes or no, and when it leaves. Why not, in no other words than these: ${quoted([...STOP_REASONS, ...GONE_REASONS])}. What you do or which programs run is never told, but whoever runs the grid could guess from the times when this computer is used.`,
  },
  holds: {
    title: "What it holds",
    text: "Every second, or more often while it works: which parts of models it has, how many answers are under way, and the memory that they take.",
  },
  speed: { title: "How fast it is", text: "How long a part of a model takes, and how fast models were downloaded." },
  failures: {
    title: "What went wrong",
    text: `If a model cannot be loaded, one of these: ${quoted(LOAD_FAILURES)}. If a link breaks or a computation fails, a technical message about that.`,
  },
  results: {
    title: "What it computed",
    text: "Numbers for the next computer, and for the coordinator the likeliest next words, as numbers too.",
  },
};

export const leaves = {
  title: "What leaves this computer",
  what: "All that GoGrid tells the grid. Downloads of models also show which parts are fetched, and what you write on the page Ask goes to the grid, with your key if it asks for one. If updates are set up, their address is asked once a day for a newer version, and told this one, the operating system and the kind of processor. Nothing goes anywhere else.",
  lines,
};
