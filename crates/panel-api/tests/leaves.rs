//! What a worker sends to other machines, field by field, as the wire's own types say it: `ui/src/api/leaves.ts`, which
//! the page Connection explains line by line. A field that is new or gone makes the file stale, and then the page's own
//! test fails until a line covers it. `GOGRID_WRITE_TYPES=1 cargo test -p gogrid-panel-api --test leaves` writes it.

use gogrid_wire::{
    control::{GoneReason, LoadFailure, SessionError, StopReason, ToCoordinator},
    hello::Capabilities,
    stage,
};
use serde::de::DeserializeOwned;
use serde_reflection::{ContainerFormat, Tracer, TracerConfig, VariantFormat};
use std::{env, fmt::Write as _, fs, net::SocketAddr};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/src/api/leaves.ts");

/// Traces a type, and every variant of the enums in it.
fn traced<T: DeserializeOwned>(tracer: &mut Tracer) {
    tracer.trace_simple_type::<T>().expect("a type that is read field by field");
}

fn tracer() -> Tracer {
    Tracer::new(TracerConfig::default())
}

/// Every field of the traced types as `protocol.Type.field`; for a variant without named fields, the variant.
fn fields(protocol: &str, tracer: Tracer) -> Vec<String> {
    let registry = tracer.registry().expect("every enum was traced");
    let mut found = Vec::new();
    for (name, format) in registry {
        match format {
            ContainerFormat::Struct(fields) => {
                found.extend(fields.iter().map(|field| format!("{protocol}.{name}.{}", field.name)));
            }
            ContainerFormat::Enum(variants) => {
                for variant in variants.values() {
                    let variant_name = &variant.name;
                    match &variant.value {
                        VariantFormat::Struct(fields) => found.extend(
                            fields.iter().map(|field| format!("{protocol}.{name}.{variant_name}.{}", field.name)),
                        ),
                        _ => found.push(format!("{protocol}.{name}.{variant_name}")),
                    }
                }
            }
            // Numbers and keys with a name of their own: the fields that hold them are listed.
            _ => {}
        }
    }
    found
}

/// What travels as JSON, and has forms of its own in it.
fn capabilities() -> Vec<String> {
    let json = serde_json::to_value(Capabilities::default()).expect("it travels as JSON");
    let keys = json.as_object().expect("an object").keys();
    keys.map(|key| format!("control.Capabilities.{key}")).collect()
}

fn leaves() -> Vec<String> {
    let mut control = tracer();
    traced::<ToCoordinator>(&mut control);
    traced::<SessionError>(&mut control);
    traced::<SocketAddr>(&mut control);
    let mut link = tracer();
    traced::<stage::Hello>(&mut link);
    traced::<stage::Role>(&mut link);
    traced::<stage::Reply>(&mut link);
    traced::<stage::Refusal>(&mut link);
    let mut frames = tracer();
    traced::<stage::StageFrame>(&mut frames);
    traced::<stage::Rows>(&mut frames);
    traced::<stage::TensorType>(&mut frames);
    let parts = [("control", control), ("stage", link), ("stage", frames)];
    let traced = parts.into_iter().flat_map(|(protocol, tracer)| fields(protocol, tracer));
    capabilities().into_iter().chain(traced).collect()
}

#[test]
fn the_page_knows_every_field_that_leaves_the_machine() {
    let mut made = String::from(
        "// Made from crates/wire by crates/panel-api's test `leaves`; do not edit.\n\n\
         /** Every field of what a worker sends to other machines. */\n",
    );
    let stops = StopReason::ALL.map(|reason| reason.text().to_owned());
    let gone = GoneReason::ALL.map(|reason| reason.text().to_owned());
    let failures = LoadFailure::ALL.map(|reason| reason.text().to_owned());
    write(&mut made, "LEAVES", &leaves());
    made.push_str("\n/** All that is said of why a machine takes no work. */\n");
    write(&mut made, "STOP_REASONS", &stops);
    made.push_str("\n/** All that is said of why it gave up a part of a model. */\n");
    write(&mut made, "GONE_REASONS", &gone);
    made.push_str("\n/** All that is said of why it could not load a part of a model. */\n");
    write(&mut made, "LOAD_FAILURES", &failures);
    if env::var_os("GOGRID_WRITE_TYPES").is_some() {
        fs::write(FILE, made).expect("the file can be written");
        return;
    }
    let written = fs::read_to_string(FILE).expect("the file is there");
    assert!(written == made, "ui/src/api/leaves.ts is stale: see the head of {}", file!());
}

fn write(to: &mut String, name: &str, values: &[String]) {
    writeln!(to, "export const {name} = [").expect("a string takes all text");
    values.iter().for_each(|value| writeln!(to, "  {value:?},").expect("a string takes all text"));
    to.push_str("] as const;\n");
}
