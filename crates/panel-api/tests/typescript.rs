//! What the page has from Rust: the types of the contract in `ui/src/api/types.ts`, and the limits' keys with their kinds,
//! ranges and presets in `ui/src/api/limit-keys.ts`. `GOGRID_WRITE_TYPES=1 cargo test -p gogrid-panel-api --test
//! typescript` writes both; without the variable the tests fail if a file is stale.

use gogrid_limits as limits;
use gogrid_panel_api as api;
use std::{env, fmt::Write as _, fs};
use ts_rs::{Config, TS};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/src/api");
const HEAD: &str = "// Made from crates/panel-api by its test `typescript`; do not edit.\n";

macro_rules! declarations {
    ($($name:ty),* $(,)?) => {{
        let config = Config::new();
        [$(declaration(&<$name>::docs(), &<$name>::decl(&config))),*].concat()
    }};
}

fn declaration(docs: &Option<String>, declaration: &str) -> String {
    format!("\n{}export {declaration}\n", docs.as_deref().unwrap_or_default())
}

fn types() -> String {
    let body = declarations![
        api::AppState,
        api::Mark,
        api::Process,
        api::KeyStore,
        api::Notice,
        api::AppSettings,
        api::Notify,
        api::LogFilter,
        api::LogLine,
        api::Status,
        api::State,
        api::Connection,
        api::GridAbout,
        api::GridApi,
        api::GridKey,
        api::GridModel,
        api::GridModels,
        api::GridQuestion,
        api::ChatMessage,
        api::ChatRole,
        api::AnswerEnd,
        api::LeftGrid,
        api::CodeDetails,
        api::Machine,
        api::Usage,
        api::Stage,
        api::Contribution,
        api::LeverState,
        api::Request,
        api::PauseRequest,
        api::Response,
        api::Setting,
        api::Managed,
        api::RequestError,
        api::Range,
        api::History,
        api::Gap,
        api::Point,
        api::Event,
        api::EventKind,
        api::Days,
        api::Day,
        api::EnergyFigures,
        api::CachedWeights,
        api::CachedModel,
        api::Diagnosis,
        api::Device,
        api::SignalSource,
        api::SelfTest,
        limits::Allowance,
        limits::Share,
        limits::Reason,
        limits::SignalKind,
        limits::Moment,
        limits::Signal<f64>,
        limits::Sample,
        limits::Load,
        limits::Memory,
        limits::Gpu,
        limits::Power,
    ];
    format!("{HEAD}{body}")
}

fn limit_keys() -> String {
    let types =
        declarations![limits::KeySpec, limits::ValueKind, limits::Total, limits::BoundKind, limits::PresetValues];
    let mut keys = String::new();
    for key in limits::Limits::KEYS {
        let spec = serde_json::to_string_pretty(&key.spec()).expect("a spec is JSON").replace('\n', "\n  ");
        writeln!(keys, "  {:?}: {spec},", key.name).expect("a string takes all text");
    }
    format!(
        "{HEAD}import type {{ SignalKind }} from \"./types\";\n{types}\n\
         /**\n * Every limit, in the order in which they are shown.\n */\n\
         export const LIMIT_KEYS = {{\n{keys}}} as const satisfies Record<string, KeySpec>;\n"
    )
}

/// Writes the file, if that is asked for, or compares it.
fn check(name: &str, made: &str) {
    let file = format!("{FOLDER}/{name}");
    if env::var_os("GOGRID_WRITE_TYPES").is_some() {
        fs::write(file, made).expect("the file can be written");
        return;
    }
    let written = fs::read_to_string(file).expect("the file is there");
    assert!(written == made, "ui/src/api/{name} is stale: see the head of {}", file!());
}

#[test]
fn the_pages_types_are_those_of_the_contract() {
    check("types.ts", &types());
}

#[test]
fn the_pages_limit_keys_are_those_of_the_worker() {
    check("limit-keys.ts", &limit_keys());
}
