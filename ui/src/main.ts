import "./design/tokens.css";
import "./design/base.css";
import "./design/controls.css";
import { mount } from "svelte";
import App from "./App.svelte";
import type { Platform } from "./platform/platform";
import { tauri } from "./platform/tauri";

/** In development `?fake=SCENARIO` shows a made-up machine. The condition is constant, so the product has no such code. */
async function platform(): Promise<Platform> {
  if (import.meta.env.DEV) {
    const { fakeFromAddress } = await import("./platform/fake/address");
    return fakeFromAddress() ?? tauri;
  }
  return tauri;
}

mount(App, { target: document.body, props: { platform: await platform() } });
