//! Stages of the demo model for tests.

use super::{Loaded, ServeOptions, StageKey};
use gogrid_compute::{Stage, StageOptions};
use gogrid_model::{DeviceSpec, FloatType, Layers, Quant, Source, TensorHash};
use std::path::Path;

pub(super) const OPTIONS: ServeOptions = ServeOptions { prefill_chunk: 8, keep_outputs: true };
const KV_BUDGET: u64 = 1 << 24;

/// Some of the demo model's layers, loaded, with a workspace of this many rows.
pub(super) fn loaded(layers: Layers, rows: usize) -> (StageKey, Loaded) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
    let source = Source::open(&path).expect("the demo model");
    let manifest = source.manifest().expect("readable");
    let (device, quant) = (DeviceSpec::Cpu, Quant::None);
    let options = StageOptions { quant, device, kv_budget: KV_BUDGET, chunk: rows, activations: FloatType::F32 };
    let stage = Stage::load(&manifest, layers, &source, &options).expect("loaded");
    let (model, manifest) = ("demo".to_owned(), TensorHash::of(&[]));
    let key = StageKey { model, manifest, layers, quant, kv_budget: KV_BUDGET };
    (key, Loaded { stage, memory: Vec::new(), rows })
}
