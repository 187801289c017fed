import { createContext } from "svelte";
import type { LimitEditor } from "../../session/limits.svelte";

/** The one editor of the page, whose drafts all rows see. */
export const [useEditor, provideEditor] = createContext<LimitEditor>();
