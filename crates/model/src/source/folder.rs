//! Hugging Face folders: config.json, generation_config.json, and safetensors in one file or sharded with an index.

use super::names::canonical;
use super::{Located, Source, SourceError, TextPlace};
use crate::tensors::layer_tensor;
use crate::{Architecture, ExpertsStored, FeedForward, ModelConfig, WeightType};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

pub(super) fn open(folder: &Path) -> Result<Source, SourceError> {
    let config_path = folder.join("config.json");
    let config = json(folder, "config.json")?
        .ok_or_else(|| SourceError::Read { path: config_path.clone(), source: io::ErrorKind::NotFound.into() })?;
    let generation = json(folder, "generation_config.json")?;
    let is_part = config.get("text_config").is_some();
    let mut config = ModelConfig::from_hf(&config, generation.as_ref())
        .map_err(|source| SourceError::Config { path: config_path, source })?;
    let files = weights(folder)?;
    let mut tensors = HashMap::new();
    let mut predicts = false;
    for (index, file) in files.iter().enumerate() {
        predicts |= read_header(index, file, config.architecture, &mut tensors)?;
    }
    find_experts(&mut config, &mut tensors);
    let mut notes = Vec::new();
    if is_part {
        notes.push("this is the text part of a model that takes other inputs too: only text is understood");
    }
    let behind = format!("model.layers.{}.", config.layers.len());
    if predicts || tensors.keys().any(|name| name.starts_with(&behind)) {
        notes.push(super::LEAVES_OUT_MTP);
    }
    Ok(Source { config, files, tensors, text: TextPlace::Folder(folder.to_owned()), notes })
}

/// Experts that lie in tensors of all experts although their family has them singly: which way they are stored depends on
/// the program that wrote the files.
fn find_experts(config: &mut ModelConfig, tensors: &mut HashMap<String, Located>) {
    for (layer, spec) in config.layers.iter_mut().enumerate() {
        let FeedForward::Experts(experts) = &mut spec.feed_forward else { continue };
        // A dense network that stands beside experts has the name of a layer's only network.
        for part in ["gate_proj", "up_proj", "down_proj"].into_iter().filter(|_| experts.beside) {
            if let Some(located) = tensors.remove(&layer_tensor(layer, &format!("mlp.{part}.weight"))) {
                tensors.insert(layer_tensor(layer, &format!("mlp.shared_expert.{part}.weight")), located);
            }
        }
        if experts.stored == ExpertsStored::Separate
            && tensors.contains_key(&layer_tensor(layer, "mlp.experts.gate_up_proj"))
        {
            experts.stored = ExpertsStored::GateUp;
        }
    }
}

/// The files of weights: those that the index names, or the one.
fn weights(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let Some(index) = json(folder, INDEX)? else { return Ok(vec![folder.join(WEIGHTS)]) };
    let damaged = |reason: &str| SourceError::Damaged { path: folder.join(INDEX), reason: reason.to_owned() };
    let places = index["weight_map"].as_object().ok_or_else(|| damaged("`weight_map` is not an object"))?;
    let mut shards = BTreeSet::new();
    for shard in places.values() {
        let shard = shard.as_str().ok_or_else(|| damaged("`weight_map` has a value that is no file name"))?;
        if shard.contains(['/', '\\']) {
            return Err(damaged("`weight_map` names a file outside of its folder"));
        }
        shards.insert(shard);
    }
    Ok(shards.into_iter().map(|shard| folder.join(shard)).collect())
}

/// Reads where the file's tensors lie; whether it holds layers apart that predict several tokens at once (MTP).
fn read_header(
    index: usize,
    path: &Path,
    architecture: Architecture,
    tensors: &mut HashMap<String, Located>,
) -> Result<bool, SourceError> {
    let damaged = |reason: String| SourceError::Damaged { path: path.to_owned(), reason };
    let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut start = vec![0; 8];
    file.read_exact(&mut start).map_err(|_| damaged("it is shorter than a header".into()))?;
    let header = start.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    if header > MAX_HEADER || header > length.saturating_sub(8) {
        return Err(damaged(format!("its header would have {header} bytes")));
    }
    start.resize(8 + header as usize, 0);
    file.read_exact(&mut start[8..]).map_err(unreadable)?;
    // Reading it checks that the tensors lie back to back and have the sizes of their shapes.
    let metadata: Metadata = serde_json::from_slice(&start[8..]).map_err(|error| damaged(error.to_string()))?;
    let data = 8 + header;
    let announced = data.saturating_add(metadata.data_len() as u64);
    if announced != length {
        return Err(damaged(format!("it has {length} bytes instead of {announced}")));
    }
    let mut predicts = false;
    for (name, info) in metadata.tensors() {
        predicts |= name.starts_with("mtp.");
        let Some(ours) = canonical(architecture, &name) else { continue };
        let dtype = match info.dtype {
            Dtype::F32 => WeightType::F32,
            Dtype::F16 => WeightType::F16,
            Dtype::BF16 => WeightType::Bf16,
            // Buffers that old checkpoints carry along, of no use to a model.
            _ if name.ends_with("rotary_emb.inv_freq") || name.ends_with(".masked_bias") => continue,
            other => {
                return Err(SourceError::Type { path: path.to_owned(), name, dtype: format!("{other:?}") });
            }
        };
        let (first, end) = info.data_offsets;
        let (offset, bytes) = (data + first as u64, (end - first) as u64);
        tensors.insert(ours, Located { dtype, shape: info.shape.clone(), file: index, offset, bytes });
    }
    Ok(predicts)
}

/// A JSON file of the folder; `None` where there is none.
fn json(folder: &Path, name: &str) -> Result<Option<Value>, SourceError> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|source| SourceError::Json { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SourceError::Read { path, source }),
    }
}
