//! What every possible stage of a model takes, in constant time each: a planner asks for thousands of ranges, and
//! [`Footprint::weight_bytes`] lists tensors by name for each.
//!
//! A stage's bytes are a sum over its tensors once the type is known in which it computes, so that sums over the first
//! layers, one for each type, answer every range by a difference.

use crate::footprint::computes_in;
use crate::tensors::{self, Role};
use crate::{Computes, FloatType, Footprint, Layers, Manifest, Quant, TensorEntry};
use std::collections::HashMap;

const TYPES: [FloatType; 3] = [FloatType::F32, FloatType::F16, FloatType::Bf16];

/// The sizes of all stages of one model on one back end with one weight type.
#[derive(Debug, Clone)]
pub struct StageSizes {
    computes: Computes,
    /// Up to each layer, without embedding and head.
    up_to: Vec<Part>,
    embedding: Part,
    head: Part,
    /// Embedding and head in one stage, where they are one table.
    tied: Option<Part>,
}

/// Some tensors.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Bytes, by the type that is computed in (in the order of [`TYPES`]).
    bytes: [u64; 3],
    /// How many of the tensors ask for each type.
    asks: [u32; 3],
}

impl Part {
    fn zip(self, other: Self, bytes: fn(u64, u64) -> u64, asks: fn(u32, u32) -> u32) -> Self {
        Part {
            bytes: std::array::from_fn(|at| bytes(self.bytes[at], other.bytes[at])),
            asks: std::array::from_fn(|at| asks(self.asks[at], other.asks[at])),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add, u32::saturating_add)
    }

    fn minus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub, u32::saturating_sub)
    }

    /// The place in [`TYPES`] of the one type that is asked for; f32 where several are, or none is.
    fn computes(&self) -> usize {
        match self.asks.map(|asks| asks > 0) {
            [false, true, false] => 1,
            [false, false, true] => 2,
            _ => 0,
        }
    }
}

impl StageSizes {
    /// Reads the sizes off a manifest that [`Manifest::validate`] accepts.
    pub fn new(manifest: &Manifest, quant: Quant, footprint: &Footprint) -> Self {
        let (config, of) = (&manifest.config, manifest.config.layers.len());
        let listed: HashMap<&str, &TensorEntry> =
            manifest.tensors.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let part = |entry: &TensorEntry, role: Role, tied: bool| Part {
            bytes: TYPES.map(|compute| footprint.tensor_bytes(entry, role, quant, compute, tied)),
            asks: TYPES.map(|dtype| u32::from(computes_in(entry, role, quant) == Some(dtype))),
        };
        let sum = |layers: Layers, wanted: &dyn Fn(&tensors::Expected) -> bool, tied: bool| {
            let tensors = tensors::of_stage(config, layers).into_iter().filter(wanted);
            let parts = tensors.filter_map(|tensor| Some(part(listed.get(tensor.name.as_str())?, tensor.role, tied)));
            parts.fold(Part::default(), Part::plus)
        };
        let ends = |tensor: &tensors::Expected| !tensors::is_of_layer(&tensor.name);
        let mut up_to = vec![Part::default(); of + 1];
        for layer in 0..of {
            let own = sum(Layers::new(layer, layer + 1), &|tensor| !ends(tensor), false);
            up_to[layer + 1] = up_to[layer].plus(own);
        }
        let tied = config.tied_embeddings.then(|| sum(Layers::all(of), &ends, true));
        let (embedding, head) = (Layers::new(0, 0), Layers::new(of, of));
        StageSizes {
            computes: footprint.computes,
            up_to,
            embedding: sum(embedding, &ends, false),
            head: sum(head, &ends, false),
            tied,
        }
    }

    /// As of [`Footprint::weight_bytes`].
    ///
    /// # Panics
    /// When the range is not of this model.
    pub fn bytes(&self, layers: Layers) -> u64 {
        let part = self.part(layers);
        part.bytes[self.computes(&part)]
    }

    /// As of [`Footprint::compute_type`].
    ///
    /// # Panics
    /// When the range is not of this model.
    pub fn compute_type(&self, layers: Layers) -> FloatType {
        TYPES[self.computes(&self.part(layers))]
    }

    fn computes(&self, part: &Part) -> usize {
        if self.computes == Computes::F32 { 0 } else { part.computes() }
    }

    fn part(&self, layers: Layers) -> Part {
        let middle = self.up_to[layers.end].minus(self.up_to[layers.start]);
        let (first, last) = (layers.has_embedding(), layers.has_head(self.up_to.len() - 1));
        match (first, last, self.tied) {
            (true, true, Some(tied)) => middle.plus(tied),
            _ => {
                let embedding = if first { self.embedding } else { Part::default() };
                let head = if last { self.head } else { Part::default() };
                middle.plus(embedding).plus(head)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceKind, ModelConfig, TensorHash, WeightType};
    use proptest::prelude::*;

    /// A model of 5 layers whose matrices have these types in turn.
    fn manifest(tied: bool, types: &[WeightType]) -> Manifest {
        let config = serde_json::json!({
            "architectures": ["Qwen2ForCausalLM"], "hidden_size": 256, "num_hidden_layers": 5,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 512, "vocab_size": 512,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": tied,
        });
        let config = ModelConfig::from_hf(&config, None).expect("a model");
        let stage = tensors::of_stage(&config, Layers::all(5)).into_iter().enumerate();
        let tensors = stage.map(|(at, tensor)| {
            let dtype = if tensor.role == Role::Vector { WeightType::F32 } else { types[at % types.len()] };
            let bytes = dtype.bytes_of(&tensor.shape).expect("whole blocks");
            TensorEntry { name: tensor.name, dtype, shape: tensor.shape, bytes, hash: TensorHash::of(&[]) }
        });
        let manifest = Manifest { config, tensors: tensors.collect() };
        manifest.validate().expect("a manifest");
        manifest
    }

    proptest! {
        #[test]
        fn every_stage_is_as_the_manifest_says(
            tied: bool,
            types in prop::collection::vec(
                prop::sample::select(&[WeightType::F32, WeightType::F16, WeightType::Bf16, WeightType::Q6K][..]), 1..9),
            quant in prop::sample::select(&[Quant::None, Quant::Q8_0, Quant::Q4K][..]),
            device in prop::sample::select(&[DeviceKind::Cpu, DeviceKind::Cuda, DeviceKind::Metal][..]),
        ) {
            let manifest = manifest(tied, &types);
            let footprint = Footprint::expected(device);
            let sizes = StageSizes::new(&manifest, quant, &footprint);
            for layers in (0..=5).flat_map(|start| (start..=5).map(move |end| Layers { start, end })) {
                let (bytes, compute) =
                    (footprint.weight_bytes(&manifest, layers, quant), footprint.compute_type(&manifest, layers, quant));
                prop_assert_eq!((sizes.bytes(layers), sizes.compute_type(layers)), (bytes, compute), "{}", layers);
            }
        }
    }
}
