//! Everything that reads bytes of others, as plain functions of bytes. None may panic, run away or take memory without
//! bound, whatever comes.
//!
//! `tests/kept.rs` runs each on the kept corpus (`corpus/NAME`) and for a moment on changed inputs, in every test run;
//! `GOGRID_FUZZ_SECONDS` makes it longer. `fuzz_targets/any.rs` is for `cargo fuzz`, which was never run here.

mod files;
mod lines;
mod wire;

/// One reader of others' bytes.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Reads the bytes. Whether they are good does not matter.
    pub run: fn(&[u8]),
    /// Good inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: wire::frame, seeds: wire::frames },
    Target { name: "hello", run: wire::hello, seeds: wire::hellos },
    Target { name: "control", run: wire::control, seeds: wire::controls },
    Target { name: "stage", run: wire::stage, seeds: wire::stages },
    Target { name: "weights", run: wire::weights, seeds: wire::asks },
    Target { name: "candidates", run: wire::candidates, seeds: wire::stages },
    Target { name: "join_code", run: lines::join_code, seeds: lines::join_codes },
    Target { name: "local_line", run: lines::local_line, seeds: lines::local_lines },
    Target { name: "config_json", run: files::config_json, seeds: files::configs },
    Target { name: "safetensors", run: files::safetensors, seeds: files::safetensors_files },
    Target { name: "gguf", run: files::gguf, seeds: files::gguf_files },
    Target { name: "tokenizer_json", run: files::tokenizer_json, seeds: files::tokenizers },
    Target { name: "template", run: files::template, seeds: files::templates },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The names of all targets.
pub fn names() -> Vec<&'static str> {
    TARGETS.iter().map(|target| target.name).collect()
}
