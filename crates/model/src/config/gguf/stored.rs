//! What the tensors of a file tell of the computation, and what the converter changes in them: norms hold 1 + their
//! weights, decays −exp(`A_log`), experts lie in tensors of all, rows of q and k are in the order of another rotation.

use super::families::Family;
use super::words::is_softmax;
use super::{ConfigError, Held, Metadata, ModelConfig};
use crate::{
    Architecture, AttentionSpec, DeltaNetSpec, DenseSpec, ExpertsSpec, ExpertsStored, FeedForward, Mixer, QkNorm,
    RopeScaling, Score, Values,
};

/// One layer's tensors.
struct Layer<'a> {
    held: &'a Held,
    layer: usize,
}

impl Layer<'_> {
    fn has(&self, part: &str) -> bool {
        self.held.has(self.layer, part)
    }
}

pub(super) fn adapt(
    config: &mut ModelConfig,
    metadata: &Metadata<'_>,
    held: &Held,
    family: &Family,
) -> Result<(), ConfigError> {
    config.norm_offset = false;
    let layers = config.layers.len();
    let widths = metadata.sizes("feed_forward_length", layers)?;
    let rotated = metadata.size("rope.dimension_count")?;
    let rotated_windowed = metadata.size("rope.dimension_count_swa")?.or(rotated);
    let scale = metadata.number("attention.scale")?.map(|scale| scale as f32);
    let weights_scale = metadata.number("expert_weights_scale")?;
    let interleaved = family.is_interleaved(metadata);
    let whole_norms = config.architecture == Architecture::Olmo2;
    for (layer, spec) in config.layers.iter_mut().enumerate() {
        let of = Layer { held, layer };
        match &mut spec.mixer {
            Mixer::Attention(attention) => {
                of.attention(attention, whole_norms);
                if scale.is_some() || config.architecture == Architecture::Granite {
                    attention.scale = scale;
                }
                let is_full = attention.window.is_none();
                let (head_dim, rotated) = (attention.head_dim, if is_full { rotated } else { rotated_windowed });
                if let Some(rope) = &mut attention.rope {
                    rope.interleaved = interleaved;
                    rope.rotated = rotated.filter(|rotated| *rotated != head_dim);
                    if let Some(factors) = &held.factors.all
                        && (is_full || !family.has_factors_of_full_layers())
                    {
                        rope.scaling = RopeScaling::Factors { factors: factors.clone() };
                    }
                }
            }
            Mixer::LatentAttention(latent) => {
                latent.rope.interleaved = interleaved;
                latent.split = of.has("self_attn.k_b_proj.weight");
                latent.bias = of.has("self_attn.kv_a_proj_with_mqa.bias");
            }
            Mixer::DeltaNet(delta_net) => of.delta_net(delta_net, family),
            Mixer::ShortConv(conv) => conv.bias = of.has("conv.conv.bias"),
        }
        match &mut spec.feed_forward {
            FeedForward::Dense(dense) => {
                of.dense(dense);
                dense.width = widths.as_ref().map_or(dense.width, |widths| widths[layer]);
            }
            FeedForward::Experts(experts) => {
                of.experts(experts);
                experts.router.scale = weights_scale.map_or(1.0, |scale| scale as f32);
                if family.is_latent() && is_softmax(metadata)? {
                    experts.router.score = Score::Softmax;
                }
            }
        }
        spec.scaled = of.has("layer_scalar");
    }
    Ok(())
}

impl Layer<'_> {
    fn attention(&self, spec: &mut AttentionSpec, whole_norms: bool) {
        spec.fused = self.has("self_attn.qkv_proj.weight");
        spec.qkv_bias = self.has("self_attn.q_proj.bias") || self.has("self_attn.qkv_proj.bias");
        spec.o_bias = self.has("self_attn.o_proj.bias");
        spec.sinks = self.has("self_attn.sinks");
        spec.qk_norm = match self.has("self_attn.q_norm.weight") {
            true if whole_norms => QkNorm::Whole,
            true => QkNorm::Head,
            false => QkNorm::None,
        };
        if spec.values != Values::Own {
            let own = spec.fused || self.has("self_attn.v_proj.weight");
            spec.values = if own { Values::Normed } else { Values::NormedKeys };
        }
    }

    fn delta_net(&self, spec: &mut DeltaNetSpec, family: &Family) {
        spec.plain_decay = true;
        spec.tiled_heads = family.has_tiled_heads();
        spec.fused_qkvz = self.has("linear_attn.in_proj_qkvz.weight");
        spec.fused_ba = self.has("linear_attn.in_proj_ba.weight");
    }

    fn dense(&self, spec: &mut DenseSpec) {
        spec.fused = self.has("mlp.gate_up_proj.weight");
        spec.bias = self.has("mlp.down_proj.bias");
    }

    fn experts(&self, spec: &mut ExpertsSpec) {
        spec.stored = match self.has("mlp.experts.gate_up_proj") {
            true => ExpertsStored::GateUp,
            false => ExpertsStored::Stacked,
        };
        spec.bias = self.has("mlp.experts.down_proj_bias");
        spec.router.bias = self.has("mlp.gate.bias");
        spec.router.choice_bias = self.has("mlp.gate.e_score_correction_bias");
    }
}
