/** The page while the worker does not answer, and what the donor can decide. */
export const trouble = {
  startingTitle: "Starting",
  starting: "The figures appear here in a moment.",
  waitingTitle: "Why it stopped",
  waiting: (times: number) =>
    times > 1 ? `That happened ${times} times in a row. The log may say more.` : "It is started again by itself.",
  restart: "Start now",
  cannotShow: (why: string) => `This cannot be shown now: ${why}`,
  seeLog: "See the log",
  heldTitle: "GoGrid needs a decision from you",
  lostTitle: "GoGrid does not answer",
  lost: "Close this window and open it again from the tray. Your limits hold meanwhile.",
  keyTitle: "The key store",
  keyWhat: "This computer proves who it is with a secret key. It belongs in the system's key store.",
  keyState: {
    opening: "The key store is being opened. If the system asks for your password, it waits for that.",
    system: "The key is kept in the system's key store.",
    file: "The key is kept in a file that only you can read.",
  },
  useFile: "Use a file instead",
  useFileWhat: "The file can be read by you and by whoever administers this computer.",
  tryAgain: "Try again",
};
