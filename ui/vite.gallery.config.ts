import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { webviews } from "./vite.config.ts";

/** The gallery: every page and component with a made-up machine. It is no part of the product. */
export default defineConfig({
  plugins: [svelte()],
  build: {
    target: webviews,
    modulePreload: false,
    assetsInlineLimit: 0,
    outDir: "dist-gallery",
    rolldownOptions: { input: "gallery.html" },
  },
  server: { port: 5174, strictPort: true, open: "/gallery.html" },
});
