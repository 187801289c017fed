//! GGUF files: description, tokenizer and chat template from the metadata, tensors under our names.

mod names;
mod parts;

use super::{Located, Source, SourceError, TextPlace};
use crate::config::gguf::{Factors, Held, Metadata, layer_counts, read};
use crate::gguf::{Content, TensorInfo};
use crate::{ManifestError, ModelConfig, WeightType, tensors};
use half::{bf16, f16};
use names::{Name, ours};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The most bytes that divisors of frequencies take: a head has far fewer than 4096 elements.
const MAX_FACTORS: u64 = 4 * 4096;

pub(super) fn open(path: &Path) -> Result<Source, SourceError> {
    let files = parts::open(path)?;
    let metadata = |error| SourceError::Config { path: path.to_owned(), source: error };
    let content = &files[0].content;
    let described = Metadata::new(&content.metadata).map_err(metadata)?;
    let (layers, _) = layer_counts(&described).map_err(metadata)?;
    let names: HashSet<&str> = files.iter().flat_map(|file| file.content.tensors.keys().map(String::as_str)).collect();
    let has = |name: &str| names.contains(name);
    let (mut tensors, mut factors, mut predicts) = (HashMap::new(), Factors::default(), false);
    for (index, file) in files.iter().enumerate() {
        for (name, info) in &file.content.tensors {
            let kind = ours(name, layers, &has);
            if let Some(factors) = factors_of(&mut factors, name) {
                let located = locate(file, index, name, info)?;
                *factors = Some(numbers(&file.path, name, &located)?);
                continue;
            }
            match kind {
                Name::Ours(ours) => {
                    tensors.insert(ours, locate(file, index, name, info)?);
                }
                Name::Predicts => predicts = true,
                Name::Other => {}
                Name::Unknown => return Err(unexpected(path, name)),
            }
        }
    }
    tensors.iter_mut().for_each(|(name, located)| put_dimensions_back(name, &mut located.shape));
    let shapes = tensors.iter().map(|(name, located)| (name.clone(), located.shape.clone())).collect();
    let config = read(&described, &Held { shapes, factors }).map_err(metadata)?;
    drop_unused(path, &config, &mut tensors)?;
    let notes = if predicts { vec![super::LEAVES_OUT_MTP] } else { Vec::new() };
    let (paths, mut contents): (Vec<PathBuf>, Vec<Content>) =
        files.into_iter().map(|file| (file.path, file.content)).unzip();
    Ok(Source { config, files: paths, tensors, text: TextPlace::Gguf(Box::new(contents.swap_remove(0))), notes })
}

/// Where a tensor lies in a file.
fn locate(file: &parts::Part, index: usize, name: &str, info: &TensorInfo) -> Result<Located, SourceError> {
    let damaged = |reason: String| SourceError::Damaged { path: file.path.clone(), reason };
    let dtype = WeightType::from_ggml(info.ggml_type).ok_or_else(|| SourceError::Type {
        path: file.path.clone(),
        name: name.to_owned(),
        dtype: crate::weight_type::ggml_name(info.ggml_type),
    })?;
    let shape = info.shape.clone();
    let bytes = dtype.bytes_of(&shape).ok_or_else(|| damaged(format!("tensor {name} cannot be {dtype} {shape:?}")))?;
    let offset = file.content.data_offset.saturating_add(info.offset);
    if offset.saturating_add(bytes) > file.length {
        return Err(damaged(format!("it ends before tensor {name} does")));
    }
    Ok(Located { dtype, shape, file: index, offset, bytes })
}

/// The divisors of frequencies that a tensor holds.
fn factors_of<'a>(factors: &'a mut Factors, name: &str) -> Option<&'a mut Option<Vec<f32>>> {
    match name {
        "rope_freqs.weight" => Some(&mut factors.all),
        "rope_factors_long.weight" => Some(&mut factors.long),
        "rope_factors_short.weight" => Some(&mut factors.short),
        _ => None,
    }
}

/// Elements that are not quantized, as f32.
fn numbers(path: &Path, name: &str, located: &Located) -> Result<Vec<f32>, SourceError> {
    let dtype = located.dtype;
    if dtype.is_quantized() || located.bytes > MAX_FACTORS {
        return Err(SourceError::Type { path: path.to_owned(), name: name.to_owned(), dtype: dtype.to_string() });
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(located.offset))?;
        let mut bytes = vec![0; located.bytes as usize];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| SourceError::Read { path: path.to_owned(), source })?;
    Ok(match dtype {
        WeightType::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        WeightType::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    })
}

/// The converter leaves out dimensions of 1: those of a convolution's input channels and of a gate's only row.
fn put_dimensions_back(name: &str, shape: &mut Vec<usize>) {
    match shape.len() {
        2 if name.ends_with(".conv1d.weight") || name.ends_with(".conv.conv.weight") => shape.insert(1, 1),
        1 if name.ends_with(".mlp.shared_expert_gate.weight") => shape.insert(0, 1),
        _ => {}
    }
}

/// Takes out tensors that files have besides what is computed with. Any other that the description does not ask for would
/// change what is computed, and is refused.
fn drop_unused(path: &Path, config: &ModelConfig, tensors: &mut HashMap<String, Located>) -> Result<(), SourceError> {
    let expected = tensors::of_model(config);
    let mut unused: Vec<String> = tensors.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
    unused.sort_unstable();
    for name in unused {
        let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let known = layer.is_some_and(|(layer, part)| {
            let shares = || {
                let spec = layer.parse().ok().and_then(|layer: usize| config.layers.get(layer));
                spec.and_then(|spec| spec.attention()).is_some_and(|attention| attention.shares.is_some())
            };
            match part {
                // The whole of what is there in two parts, too.
                "self_attn.kv_b_proj.weight" => true,
                // Of layers that use those of earlier ones.
                "self_attn.k_proj.weight" | "self_attn.v_proj.weight" | "self_attn.k_norm.weight" => shares(),
                _ => false,
            }
        });
        if !known {
            return Err(unexpected(path, &name));
        }
        tensors.remove(&name);
    }
    Ok(())
}

fn unexpected(path: &Path, name: &str) -> SourceError {
    let source = ManifestError::Unexpected { name: name.to_owned() };
    SourceError::Tensors { path: path.to_owned(), source }
}
