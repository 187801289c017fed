/** The desktop shell: the only file that imports Tauri's scripts. */
import { Channel, invoke, type InvokeArgs } from "@tauri-apps/api/core";
import type { AppState } from "../api/types";
import { Refusal, type Platform } from "./platform";

async function call<T>(command: string, args?: InvokeArgs): Promise<T> {
  try {
    return await invoke<T>(command, args);
  } catch (thrown) {
    throw Refusal.from(thrown);
  }
}

export const tauri: Platform = {
  appState: () => call("app_state"),
  follow: (listener) => call("follow", { channel: new Channel<AppState>(listener) }),
  worker: (request) => call("worker", { request }),
  changeSettings: (settings) => call("change_settings", { settings }),
  openKeyStore: () => call("open_key_store"),
  logs: (filter) => call("logs", { filter }),
  report: () => call("report"),
  saveFile: (name, text) => call("save_file", { name, text }),
  dismiss: (id) => call("dismiss", { id }),
  forgetCode: () => call("forget_code"),
  restartWorker: () => call("restart_worker"),
  installUpdate: () => call("install_update"),
  gridModels: () => call("grid_models"),
  useGridKey: (key) => call("use_grid_key", { key }),
  forgetGridKey: () => call("forget_grid_key"),
  askGrid: (question, piece) => call("ask_grid", { question, channel: new Channel<string>(piece) }),
  stopAsking: () => call("stop_asking"),
};
