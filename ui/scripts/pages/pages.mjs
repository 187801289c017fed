/** Every page of the window, as in its address. */
export const PAGES = ["now", "limits", "contribution", "history", "connection", "ask", "diagnostics"];
