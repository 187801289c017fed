/** The Contribution page. */
const certainty = { measured: "measured", partly: "partly estimated", estimated: "estimated" };

export const contribution = {
  title: "Contribution",
  what: "What this computer has computed. These figures are kept on this computer.",
  today: "Today",
  week: "This week",
  all: "In all",
  tokens: "pieces of text",
  active: (time: string) => `${time} active`,
  energy: (energy: string, how: "measured" | "partly" | "estimated") => `${energy}, ${certainty[how]}`,
  by: { label: "Bars by", day: "Days", week: "Weeks" },
  show: { label: "Show", tokens: "Text", active: "Hours", energy: "Energy" },
  chart: { tokens: "Pieces of text", active: "Active hours", energy: "Energy" },
  weekOf: (date: string) => `Week of ${date}`,
  bar: (when: string, value: string) => `${when}: ${value}`,
  costs: {
    title: "What it costs",
    today: "Today",
    month: "This month",
    lent: "GoGrid's work",
    rest: "The computer at rest",
    restText: (watts: string, by: "donor" | "meters") =>
      by === "donor"
        ? `At rest: ${watts}, as you entered, for as long as GoGrid ran. A computer that is on anyway draws it without GoGrid too.`
        : `At rest: ${watts} by the meters of processor and GPU, for as long as GoGrid ran. The rest of the computer draws more; enter what a plug-in meter shows for all of it.`,
    restUnknown: "What the computer draws at rest is not known. Enter what a plug-in meter shows.",
    certainty,
    figures: {
      price: "Price of a kWh",
      currency: "Currency",
      rest_watts: "Watts at rest",
      full_watts: "Watts, all cores busy",
    },
    notANumber: "Enter a number, as in 0.32",
    saved: "The figures are saved",
    limit: "Limit hours or energy a day",
  },
  details: "Details",
  pieces:
    "A piece of text is a token, a word or a part of one. Every token that passes through this computer counts once.",
  method: "How the energy is counted",
  loading: "Looking through the record…",
  empty: "Nothing has been computed yet.",
  emptyWhat: "The first day with work appears here.",
  export: "Export as CSV…",
  exported: (path: string) => `Saved as ${path}`,
  since: (date: string) => `since ${date}`,
};
