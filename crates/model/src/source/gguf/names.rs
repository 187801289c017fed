//! Names of tensors in GGUF files (gguf-py's `tensor_mapping` and llama.cpp's `llama-arch`), as ours.

use crate::tensors::{EMBEDDING, FINAL_NORM, HEAD, PER_LAYER_MATRIX, PER_LAYER_NORM, PER_LAYER_TABLE};

/// Tensors of the whole model.
const OF_MODEL: [(&str, &str); 6] = [
    ("token_embd.weight", EMBEDDING),
    ("output_norm.weight", FINAL_NORM),
    // LFM2's last norm.
    ("token_embd_norm.weight", FINAL_NORM),
    ("output.weight", HEAD),
    ("per_layer_token_embd.weight", PER_LAYER_TABLE),
    ("per_layer_proj_norm.weight", PER_LAYER_NORM),
];

/// Tensors of a layer whose whole names differ.
const WHOLE: [(&str, &str); 6] = [
    ("attn_sinks.weight", "self_attn.sinks"),
    ("exp_probs_b.bias", "mlp.gate.e_score_correction_bias"),
    ("ffn_gate_inp.scale", "mlp.gate.scale"),
    ("layer_output_scale.weight", "layer_scalar"),
    ("ssm_a", "linear_attn.A_log"),
    ("ssm_dt.bias", "linear_attn.dt_bias"),
];

/// Parts of a layer, before `.weight` and `.bias`.
const PARTS: [(&str, &str); 39] = [
    ("attn_gate", "linear_attn.in_proj_z"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_k_b", "self_attn.k_b_proj"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"),
    ("attn_kv_a_norm", "self_attn.kv_a_layernorm"),
    ("attn_kv_b", "self_attn.kv_b_proj"),
    ("attn_norm", "input_layernorm"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_q_a", "self_attn.q_a_proj"),
    ("attn_q_a_norm", "self_attn.q_a_layernorm"),
    ("attn_q_b", "self_attn.q_b_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_v_b", "self_attn.v_b_proj"),
    ("ffn_down_shexp", "mlp.shared_expert.down_proj"),
    ("ffn_gate_inp", "mlp.gate"),
    ("ffn_gate_inp_shexp", "mlp.shared_expert_gate"),
    ("ffn_gate_shexp", "mlp.shared_expert.gate_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_up_shexp", "mlp.shared_expert.up_proj"),
    ("inp_gate", "per_layer_input_gate"),
    ("post_ffw_norm", "post_mlp_layernorm"),
    ("post_ffw_norm_1", "mlp.shared_expert_after"),
    ("post_ffw_norm_2", "mlp.experts_after"),
    ("post_norm", "post_per_layer_input_norm"),
    ("pre_ffw_norm_2", "mlp.experts_before"),
    ("proj", "per_layer_projection"),
    ("shortconv.conv", "conv.conv"),
    ("shortconv.in_proj", "conv.in_proj"),
    ("shortconv.out_proj", "conv.out_proj"),
    ("ssm_alpha", "linear_attn.in_proj_a"),
    ("ssm_ba", "linear_attn.in_proj_ba"),
    ("ssm_beta", "linear_attn.in_proj_b"),
    ("ssm_conv1d", "linear_attn.conv1d"),
    ("ssm_in", "linear_attn.in_proj_qkvz"),
    ("ssm_norm", "linear_attn.norm"),
    ("ssm_out", "linear_attn.out_proj"),
];

/// What a tensor of a file is to a text model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// One of ours.
    Ours(String),
    /// Of a layer behind the last one, or of such a layer's kind: it predicts several tokens at once.
    Predicts,
    /// It belongs to what sees and hears, or is read apart.
    Other,
    /// It is of the text model, and not known.
    Unknown,
}

/// Our name of a tensor. `layers`: those of the model. `has`: whether the file has a tensor.
pub(super) fn ours(name: &str, layers: usize, has: &dyn Fn(&str) -> bool) -> Name {
    if let Some((_, ours)) = OF_MODEL.iter().find(|(theirs, _)| *theirs == name) {
        return Name::Ours((*ours).to_owned());
    }
    if let Some(kind) = name.strip_prefix("per_layer_model_proj.") {
        return Name::Ours(format!("{PER_LAYER_MATRIX}.{kind}"));
    }
    if name.starts_with("nextn.") {
        return Name::Predicts;
    }
    let Some((layer, part)) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        let of_text = ["output", "token_", "position_", "per_layer"].iter().any(|prefix| name.starts_with(prefix));
        return if of_text { Name::Unknown } else { Name::Other };
    };
    let Ok(layer) = layer.parse::<usize>() else { return Name::Unknown };
    if layer >= layers {
        return Name::Predicts;
    }
    let beside = |part: &str| has(&format!("blk.{layer}.{part}"));
    match of_layer(part, &beside) {
        Some(part) => Name::Ours(format!("model.layers.{layer}.{part}")),
        // Scales of activations, for kernels that quantize these, and copies of what is computed.
        None if part.ends_with(".input_scale") || part.starts_with("attn_rot_embd.") => Name::Other,
        // Older files have the divisors of frequencies in each layer.
        None if part.starts_with("rope_f") => Name::Other,
        None => Name::Unknown,
    }
}

/// Our name of a part of a layer. `beside`: whether the layer has another one.
fn of_layer(name: &str, beside: &dyn Fn(&str) -> bool) -> Option<String> {
    if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
        return Some((*ours).to_owned());
    }
    // Gemma 4's experts have factors that the router applies. Other models' scales are those of quantized weights.
    if name == "ffn_down_exps.scale" && beside("ffn_gate_inp.scale") {
        return Some("mlp.gate.per_expert_scale".to_owned());
    }
    let (part, kind) = name.rsplit_once('.')?;
    // Of all experts of a layer.
    if let Some(matrix) = part.strip_prefix("ffn_").and_then(|part| part.strip_suffix("_exps")) {
        let kind = match kind {
            "weight" => "",
            "bias" => "_bias",
            _ => return None,
        };
        return Some(format!("mlp.experts.{matrix}_proj{kind}"));
    }
    let ours = match part {
        // Before the network, unless norms are behind it as well.
        "post_attention_norm" if beside("post_ffw_norm.weight") => "post_self_attn_layernorm",
        "post_attention_norm" => "post_attention_layernorm",
        "attn_qkv" if beside("ssm_conv1d.weight") => "linear_attn.in_proj_qkv",
        "attn_qkv" => "self_attn.qkv_proj",
        "ffn_gate" | "ffn_up" | "ffn_down" if beside("ffn_gate_inp.scale") => {
            return Some(format!("mlp.shared_expert.{}_proj.{kind}", &part["ffn_".len()..]));
        }
        "ffn_up" if !beside("ffn_gate.weight") => "mlp.gate_up_proj",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        other => PARTS.iter().find(|(theirs, _)| *theirs == other)?.1,
    };
    ["weight", "bias"].contains(&kind).then(|| format!("{ours}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, beside: &[&str]) -> Name {
        let has = |found: &str| beside.iter().any(|part| found == format!("blk.3.{part}"));
        match ours(&format!("blk.3.{name}"), 4, &has) {
            Name::Ours(name) => Name::Ours(name.replace("model.layers.3.", "")),
            other => other,
        }
    }

    fn named(name: &str) -> Name {
        Name::Ours(name.to_owned())
    }

    #[test]
    fn what_a_name_means_depends_on_what_is_beside_it() {
        assert_eq!(part("post_attention_norm.weight", &[]), named("post_attention_layernorm.weight"));
        let both = part("post_attention_norm.weight", &["post_ffw_norm.weight"]);
        assert_eq!(both, named("post_self_attn_layernorm.weight"));
        assert_eq!(part("attn_qkv.weight", &[]), named("self_attn.qkv_proj.weight"));
        assert_eq!(part("attn_qkv.weight", &["ssm_conv1d.weight"]), named("linear_attn.in_proj_qkv.weight"));
        assert_eq!(part("ffn_up.weight", &["ffn_gate.weight"]), named("mlp.up_proj.weight"));
        assert_eq!(part("ffn_up.weight", &[]), named("mlp.gate_up_proj.weight"));
        let dense = part("ffn_up.weight", &["ffn_gate.weight", "ffn_gate_inp.scale"]);
        assert_eq!(dense, named("mlp.shared_expert.up_proj.weight"));
        assert_eq!(part("ffn_gate_up_exps.weight", &[]), named("mlp.experts.gate_up_proj"));
        assert_eq!(part("ffn_gate_exps.bias", &[]), named("mlp.experts.gate_proj_bias"));
    }

    #[test]
    fn what_is_not_known_is_told_from_what_is_not_needed() {
        let of = |name: &str| ours(name, 4, &|_| false);
        for name in ["v.blk.0.attn_q.weight", "mm.input_projection.weight", "rope_freqs.weight"] {
            assert_eq!(of(name), Name::Other, "{name}");
        }
        for name in ["blk.4.attn_q.weight", "nextn.pre_projection.weight"] {
            assert_eq!(of(name), Name::Predicts, "{name}");
        }
        for name in ["blk.3.attn_sub_norm.weight", "output.bias", "blk.1.ffn_up.scale", "blk.0.ffn_gate_exps.scale"] {
            assert_eq!(of(name), Name::Unknown, "{name}");
        }
        assert_eq!(of("blk.3.attn_q.input_scale"), Name::Other);
    }
}
