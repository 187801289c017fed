/** The clipboard, as far as a web view lets a page use it. */

/** Copies a text that arrives a little later. Returns whether that worked. */
export async function copyLater(text: Promise<string>): Promise<boolean> {
  try {
    const blob = text.then((text) => new Blob([text], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch {
    return false;
  }
}

/** Copies the selection in the old way, which works even if the page may not use the clipboard itself. */
export function copySelected(): boolean {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- web views that refuse the new way still have it
  return document.execCommand("copy");
}
