/** Keys that people compare: hexadecimal digits in groups of four. */

/** The digits that two people can read to each other: 64 bits. */
const SHORT = 16;

export function grouped(key: string, whole: boolean): string {
  const digits = whole ? key : key.slice(0, SHORT);
  return digits.match(/.{1,4}/g)?.join(" ") ?? "";
}
