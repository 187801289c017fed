/** The History page. */
export const history = {
  title: "History",
  what: "What GoGrid did on this computer, and why. It is kept on this computer alone.",
  search: "Search",
  searchHint: "A program, a cause, a day…",
  today: "Today",
  yesterday: "Yesterday",
  /** The work of a day. */
  work: (time: string, tokens: string) => `${time} active, ${tokens} pieces of text`,
  found: (count: string) => `${count} found`,
  none: "Nothing fits this search.",
  empty: "Nothing has happened yet.",
  more: "Show earlier entries",
  loading: "Looking through the record…",
  export: "Export as CSV…",
  exported: (path: string) => `Saved as ${path}`,
};
