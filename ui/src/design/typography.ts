/** Between a number and its unit: narrow, and never broken at a line's end. */
export const THIN = "\u202f";
