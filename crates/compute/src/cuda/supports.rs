//! Which stages this back end takes: dense attention models whose every layer and weight type has kernels. All others
//! stay on the reference back end.

use super::planes;
use gogrid_model::tensors::{self, Role};
use gogrid_model::{
    Activation, AttentionSpec, FeedForward, FloatType, LayerSpec, Layers, Manifest, Mixer, Norms, QkNorm, Quant,
    Values, WeightType, held_type, tied_table_type,
};

/// The widest head that attention's kernels take.
const MOST_DIM: usize = 256;
/// The most columns of a matrix: a row of activations has to fit a block's shared memory.
const MOST_COLUMNS: usize = 1 << 15;

/// Why the reference back end computes a stage; `Ok` if this one can.
pub(crate) fn check(manifest: &Manifest, layers: Layers, quant: Quant, compute: FloatType) -> Result<(), String> {
    let config = &manifest.config;
    if config.per_layer.is_some() {
        return Err("layers get rows besides the residual stream".into());
    }
    for layer in layers.range() {
        let spec = &config.layers[layer];
        if let Some(reason) = unsupported(spec, config.hidden_size) {
            return Err(format!("layer {layer}: {reason}"));
        }
        if let FeedForward::Dense(dense) = &spec.feed_forward
            && !dense.fused
        {
            let held = |part: &str| {
                let entry = manifest.tensor(&tensors::layer_tensor(layer, part));
                entry.map(|entry| held_type(Role::Matrix, entry, quant, compute))
            };
            if held("mlp.gate_proj.weight") != held("mlp.up_proj.weight") {
                return Err(format!("layer {layer}: gate and up are of two types"));
            }
        }
    }
    let tied = config.tied_embeddings && layers.has_embedding() && layers.has_head(config.layers.len());
    for (entry, role) in manifest.stage_tensors(layers) {
        let mut held: Vec<WeightType> = match role {
            Role::Vector => continue,
            _ => vec![held_type(role, entry, quant, compute)],
        };
        if tied && role == Role::Embedding {
            held = vec![tied_table_type(entry, quant, compute), held_type(Role::Head, entry, quant, compute)];
        }
        let columns = entry.shape.last().copied().unwrap_or(0);
        let fits = columns.is_multiple_of(8) && columns <= MOST_COLUMNS && entry.shape.len() == 2;
        for held in held {
            if !fits || planes::stride(held, columns).is_none() {
                return Err(format!("{} is {held} with rows of {columns}", entry.name));
            }
        }
    }
    Ok(())
}

/// What of a layer has no kernel.
fn unsupported(spec: &LayerSpec, hidden: usize) -> Option<&'static str> {
    let Mixer::Attention(attention) = &spec.mixer else { return Some("its mixer is no plain attention") };
    let FeedForward::Dense(dense) = &spec.feed_forward else { return Some("it has experts") };
    let AttentionSpec { head_dim, sinks, values, shares, gated, qk_norm, .. } = attention;
    match () {
        () if *sinks => Some("its attention has sinks"),
        () if *values != Values::Own || shares.is_some() => Some("its values are not its own"),
        () if *gated => Some("its attention is gated"),
        () if *qk_norm == QkNorm::Whole => Some("q and k are normed as a whole"),
        () if !head_dim.is_multiple_of(8) || *head_dim > MOST_DIM => Some("the width of its heads"),
        () if matches!(dense.activation, Activation::ClampedSilu { .. }) => Some("its activation"),
        () if spec.norms != Norms::Before => Some("it has norms behind its parts"),
        () if spec.scaled => Some("it is scaled"),
        () if !hidden.is_multiple_of(8) || !dense.width.is_multiple_of(8) => Some("its width is no multiple of 8"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::{DeviceKind, Footprint, Source};
    use rstest::rstest;
    use std::path::Path;

    #[rstest]
    #[case("llama", true)]
    #[case("llama-tied-llama3-rope", true)]
    #[case("mistral-sliding-window", true)]
    #[case("qwen2-bias", true)]
    #[case("qwen3-qk-norm", true)]
    #[case("granite", true)]
    #[case("ministral3", true)]
    #[case("smollm3", true)]
    #[case("phi3", true)]
    #[case("olmo2", false)]
    #[case("gemma3", false)]
    #[case("glm4", false)]
    #[case("gpt-oss", false)]
    #[case("qwen3-moe", false)]
    #[case("deepseek3", false)]
    #[case("lfm2", false)]
    #[case("qwen3-next", false)]
    fn dense_models_of_plain_attention_are_taken(#[case] name: &str, #[case] taken: bool) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(name);
        let manifest = Source::open(&folder).unwrap().manifest().unwrap();
        let layers = Layers::all(manifest.config.layers.len());
        let compute = Footprint::expected(DeviceKind::Cuda).compute_type(&manifest, layers, Quant::None);
        let found = check(&manifest, layers, Quant::None, compute);
        assert_eq!(found.is_ok(), taken, "{found:?}");
    }

    #[test]
    fn a_weight_type_without_kernels_is_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/llama");
        let manifest = Source::open(&folder).unwrap().manifest().unwrap();
        let layers = Layers::all(manifest.config.layers.len());
        let error = check(&manifest, layers, Quant::Q5_0, FloatType::F32).unwrap_err();
        assert!(error.contains("q5_0"), "{error}");
        check(&manifest, layers, Quant::Q8_0, FloatType::F32).unwrap();
    }
}
