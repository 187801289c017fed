/** The address that programs need: with `/v1`, however the operator wrote it. */
export function apiBase(url: string): string {
  return `${url.replace(/\/+$/, "").replace(/\/v1$/, "").replace(/\/+$/, "")}/v1`;
}

/** A question for a shell. The donor puts their key in place of `YOUR_KEY`. */
export function curlExample(base: string, model: string, question: string, key: boolean): string {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: question }] });
  const headers = ["content-type: application/json", ...(key ? ["authorization: Bearer YOUR_KEY"] : [])];
  const parts = [`curl ${base}/chat/completions`, ...headers.map((header) => `-H "${header}"`)];
  return [...parts, `-d '${body.replaceAll("'", "'\\''")}'`].join(" \\\n  ");
}
