//! Embeds the page, and lists what the page may call.

use std::path::Path;

/// Every command that the page may call. Each becomes a permission, which `capabilities/window.json` grants. A command
/// that is not listed here cannot be called.
const COMMANDS: &[&str] = &[
    "app_state",
    "follow",
    "worker",
    "change_settings",
    "open_key_store",
    "logs",
    "report",
    "save_file",
    "dismiss",
    "forget_code",
    "restart_worker",
    "install_update",
    "grid_models",
    "use_grid_key",
    "forget_grid_key",
    "ask_grid",
    "stop_asking",
];
/// The built page, relative to this folder.
const PAGE: &str = "../ui/dist";
/// Overrides settings of `tauri.conf.json`, among them the page.
const OTHER_CONFIG: &str = "TAURI_CONFIG";

fn main() {
    println!("cargo::rerun-if-changed={PAGE}");
    println!("cargo::rerun-if-env-changed={OTHER_CONFIG}");
    if std::env::var_os(OTHER_CONFIG).is_none() && !Path::new(PAGE).join("index.html").is_file() {
        println!("cargo::error=the page is not built yet: run `npm ci && npm run build` in the folder ui/, then this");
        return;
    }
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    if let Err(error) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)) {
        println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
    }
}
