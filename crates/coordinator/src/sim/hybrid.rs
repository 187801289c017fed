//! Every other model of a world is a hybrid: most of its layers keep the state of a recurrence, which cannot be cut back.

use gogrid_model::{
    DeltaNetSpec, FloatType, LayerState, Layers, Manifest, Mixer, SequenceSizes, TensorEntry, TensorHash, WeightType,
    tensors,
};
use std::ops::Range;

/// Keys and values of one token in one of the demo model's layers.
const KV_ELEMENTS: usize = 256;
/// As large for each sequence as the demo model's keys and values of a whole context.
const MIXER: DeltaNetSpec = DeltaNetSpec {
    key_heads: 2,
    key_dim: 128,
    heads: 4,
    value_dim: 128,
    kernel: 4,
    fused_qkvz: false,
    fused_ba: false,
    tiled_heads: false,
    plain_decay: false,
};

/// Whether the model of this number is one.
pub(super) fn is_hybrid(number: usize) -> bool {
    !number.is_multiple_of(2)
}

/// Makes a hybrid of a model: every fourth layer stays as it is.
pub(super) fn make_hybrid(manifest: &mut Manifest) {
    for (number, layer) in manifest.config.layers.iter_mut().enumerate() {
        if number % 4 != 3 {
            layer.mixer = Mixer::DeltaNet(MIXER);
        }
    }
    let expected = tensors::of_stage(&manifest.config, Layers::all(manifest.config.layers.len()));
    let listed = expected.into_iter().map(|tensor| match manifest.tensor(&tensor.name) {
        Some(entry) => entry.clone(),
        None => {
            let bytes = WeightType::F32.bytes_of(&tensor.shape).expect("a size");
            let hash = TensorHash::of(tensor.name.as_bytes());
            TensorEntry { name: tensor.name, dtype: WeightType::F32, shape: tensor.shape, bytes, hash }
        }
    });
    manifest.tensors = listed.collect();
}

/// What sequences take of a stage of a model with this name.
pub(super) fn sizes(model: &str, layers: Range<u32>) -> SequenceSizes {
    let number = model.rsplit('-').next().and_then(|number| number.parse().ok());
    let hybrid = number.is_some_and(is_hybrid);
    let state = |layer: u32| match hybrid && layer % 4 != 3 {
        true => LayerState::Recurrent { tail: (MIXER.kernel - 1) * MIXER.channels(), matrix: MIXER.matrix() },
        false => LayerState::Cache { elements: KV_ELEMENTS },
    };
    SequenceSizes::new(layers.map(state), FloatType::F32, 64)
}
