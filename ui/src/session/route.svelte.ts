/** The page that is shown: the part of the address after the #. */

export const PAGES = ["now", "limits", "contribution", "history", "connection", "ask", "diagnostics"] as const;
export type Page = (typeof PAGES)[number];

function fromHash(): Page {
  const name = location.hash.slice(1);
  return PAGES.find((page) => page === name) ?? "now";
}

class Route {
  page = $state<Page>(fromHash());

  constructor() {
    window.addEventListener("hashchange", () => (this.page = fromHash()));
  }

  go(page: Page): void {
    location.hash = page;
    this.page = page;
  }
}

export const route = new Route();
