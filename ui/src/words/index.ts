/** The language in use. Another one is a second object of the type {@link Words}, chosen here. */
import { en } from "./en";

export type Words = typeof en;

export const words: Words = en;
