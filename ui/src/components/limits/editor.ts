import { createContext } from "svelte";
import type { LimitEditor } from "../../session/limits.svelte";

/** The one editor of the page, which all rows share. */
export const [useEditor, provideEditor] = createContext<LimitEditor>();
