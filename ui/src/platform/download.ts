/** Saves a text as a plain browser does: as a download, which the browser puts where its user wants downloads. */
export function download(name: string, text: string): string {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
  return name;
}
