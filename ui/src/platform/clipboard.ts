/** The clipboard, as far as a web view lets a page have it. */

/** Copies a text that comes a little later. Whether it worked. */
export async function copyLater(text: Promise<string>): Promise<boolean> {
  try {
    const blob = text.then((text) => new Blob([text], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch {
    return false;
  }
}

/** Copies what is selected: the old way, which works where the page may not reach the clipboard itself. */
export function copySelected(): boolean {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- web views that refuse the new way still have it
  return document.execCommand("copy");
}
