import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

/** The oldest web views that the app runs in: macOS 12 with its updates, Windows' WebView2, WebKitGTK 2.40. */
export const webviews = ["safari16", "chrome111"];

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: webviews,
    // The web view reads files of its own program: nothing is gained by fetching ahead, and no script is inlined.
    modulePreload: false,
    assetsInlineLimit: 0,
  },
  server: { port: 5173, strictPort: true },
  // Style sheets are read as they are: a test compares colours.
  test: { include: ["src/**/*.test.ts"], css: true },
});
