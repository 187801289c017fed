//! The page's types are made from these: `ui/src/api/types.ts` is written by `GOGRID_WRITE_TYPES=1 cargo test -p
//! gogrid-panel-api --test typescript`, and this test fails where it is stale.

use gogrid_limits as limits;
use gogrid_panel_api as api;
use std::{env, fs, path::Path};
use ts_rs::{Config, TS};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/src/api/types.ts");

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
    let head = "// Made from crates/panel-api by its test `typescript`; do not edit.\n";
    let body = declarations![
        api::AppState,
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
        api::Point,
        api::Event,
        api::EventKind,
        api::Days,
        api::Day,
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
    format!("{head}{body}")
}

#[test]
fn the_pages_types_are_those_of_the_contract() {
    let types = types();
    if env::var_os("GOGRID_WRITE_TYPES").is_some() {
        fs::create_dir_all(Path::new(FILE).parent().expect("a folder")).expect("the folder can be made");
        fs::write(FILE, types).expect("the file can be written");
        return;
    }
    let written = fs::read_to_string(FILE).expect("ui/src/api/types.ts is there");
    assert!(written == types, "ui/src/api/types.ts is stale: see the head of {}", file!());
}
