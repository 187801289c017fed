/** The first run's three steps. */
export const welcome = {
  title: "Welcome to GoGrid",
  step: (step: number, all: number) => `Step ${step} of ${all}`,
  joinTitle: "Join your company's grid",
  joinWhat:
    "GoGrid lends the time that this computer does not need to a language model your company runs itself. You set what it may take; it gives way before you notice.",
  alreadyJoined: (grid: string) => `This computer is a member of ${grid}.`,
  /** Whom the computer helps, in the operator's words; the owner may be empty. */
  helps: (grid: string, purpose: string, owner: string) =>
    `It helps ${grid}: ${purpose}.${owner === "" ? "" : ` Run by ${owner}.`}`,
  presetTitle: "How much may it take?",
  presetWhat: "You can change every number later, and pause at any time from the tray.",
  startTitle: "Start when you log in?",
  startWhat: "It then waits in the tray, and computes only when your limits allow it.",
  start: "Start GoGrid at login",
  trayWhat: "GoGrid lives in the tray. Closing the window leaves it running; Quit in the tray's menu ends it.",
  next: "Next",
  done: "Done",
  skip: "Skip",
  joinAndGo: "Join and go on",
};
