//! Names of tensors in Hugging Face folders. Families give the same tensor different names; here each has one.

use crate::Architecture;
use crate::tensors::{EMBEDDING, FINAL_NORM, HEAD, PER_LAYER_MATRIX, PER_LAYER_NORM, PER_LAYER_TABLE};

/// Our name of a tensor; `None` if it does not belong to a text model.
pub(super) fn canonical(architecture: Architecture, name: &str) -> Option<String> {
    // In multimodal models the text model is a part.
    let name = match name.strip_prefix("language_model.") {
        Some(rest) => rest.to_owned(),
        None => name.replacen("model.language_model.", "model.", 1),
    };
    let Some((layer, part)) = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
        if architecture == Architecture::Lfm2 && name == "model.embedding_norm.weight" {
            return Some(FINAL_NORM.to_owned());
        }
        let matrix = name.strip_suffix(".weight") == Some(PER_LAYER_MATRIX);
        let known = [EMBEDDING, FINAL_NORM, HEAD, PER_LAYER_TABLE, PER_LAYER_NORM].contains(&name.as_str());
        return (known || matrix).then_some(name);
    };
    let renamed = renamed(architecture).iter().find_map(|(theirs, ours)| Some((part.strip_prefix(theirs)?, *ours)));
    let part = match renamed {
        Some((rest, ours)) => format!("{ours}{rest}"),
        None => part.to_owned(),
    };
    let part = match architecture {
        Architecture::Mixtral => {
            let matrices = [(".w1.", ".gate_proj."), (".w2.", ".down_proj."), (".w3.", ".up_proj.")];
            matrices.iter().fold(part, |part, (theirs, ours)| part.replace(theirs, ours))
        }
        _ => part,
    };
    Some(format!("model.layers.{layer}.{part}"))
}

/// How names within a layer begin: in this family, and here.
fn renamed(architecture: Architecture) -> &'static [(&'static str, &'static str)] {
    match architecture {
        Architecture::Gemma4 => &[
            ("post_attention_layernorm", "post_self_attn_layernorm"),
            ("pre_feedforward_layernorm.", "post_attention_layernorm."),
            ("pre_feedforward_layernorm_2.", "mlp.experts_before."),
            ("post_feedforward_layernorm.", "post_mlp_layernorm."),
            ("post_feedforward_layernorm_1.", "mlp.shared_expert_after."),
            ("post_feedforward_layernorm_2.", "mlp.experts_after."),
            ("router.proj.", "mlp.gate."),
            ("router.", "mlp.gate."),
            ("experts.", "mlp.experts."),
        ],
        Architecture::Gemma3 | Architecture::Olmo2 => &[
            ("post_attention_layernorm", "post_self_attn_layernorm"),
            ("pre_feedforward_layernorm", "post_attention_layernorm"),
            ("post_feedforward_layernorm", "post_mlp_layernorm"),
        ],
        Architecture::Lfm2 => &[
            ("operator_norm", "input_layernorm"),
            ("ffn_norm", "post_attention_layernorm"),
            ("feed_forward.w1", "mlp.gate_proj"),
            ("feed_forward.w2", "mlp.down_proj"),
            ("feed_forward.w3", "mlp.up_proj"),
            ("self_attn.out_proj", "self_attn.o_proj"),
            ("self_attn.q_layernorm", "self_attn.q_norm"),
            ("self_attn.k_layernorm", "self_attn.k_norm"),
        ],
        Architecture::Mixtral => &[("block_sparse_moe.", "mlp.")],
        Architecture::GptOss => &[("mlp.router.", "mlp.gate.")],
        Architecture::Glm4Moe | Architecture::DeepseekV3 => &[("mlp.shared_experts.", "mlp.shared_expert.")],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_s_names_become_ours() {
        let layer = |architecture, theirs: &str| {
            let name = canonical(architecture, &format!("model.layers.7.{theirs}"))?;
            Some(name.strip_prefix("model.layers.7.")?.to_owned())
        };
        for (architecture, theirs, ours) in [
            (Architecture::Llama, "post_attention_layernorm.weight", "post_attention_layernorm.weight"),
            (Architecture::Gemma3, "post_attention_layernorm.weight", "post_self_attn_layernorm.weight"),
            (Architecture::Gemma3, "pre_feedforward_layernorm.weight", "post_attention_layernorm.weight"),
            (Architecture::Olmo2, "post_feedforward_layernorm.weight", "post_mlp_layernorm.weight"),
            (Architecture::Mixtral, "block_sparse_moe.experts.3.w2.weight", "mlp.experts.3.down_proj.weight"),
            (Architecture::GptOss, "mlp.router.bias", "mlp.gate.bias"),
            (Architecture::Lfm2, "feed_forward.w3.weight", "mlp.up_proj.weight"),
            (Architecture::Lfm2, "self_attn.q_layernorm.weight", "self_attn.q_norm.weight"),
            (Architecture::Lfm2, "conv.out_proj.weight", "conv.out_proj.weight"),
            (Architecture::Glm4Moe, "mlp.shared_experts.up_proj.weight", "mlp.shared_expert.up_proj.weight"),
        ] {
            assert_eq!(layer(architecture, theirs).as_deref(), Some(ours));
        }
    }

    #[test]
    fn the_text_part_of_a_multimodal_model_is_a_text_model() {
        let name = |name: &str| canonical(Architecture::Mistral, name);
        assert_eq!(name("language_model.lm_head.weight").as_deref(), Some(HEAD));
        for prefix in ["language_model.model", "model.language_model", "model"] {
            assert_eq!(name(&format!("{prefix}.embed_tokens.weight")).as_deref(), Some(EMBEDDING));
            let q = name(&format!("{prefix}.layers.0.self_attn.q_proj.weight"));
            assert_eq!(q.as_deref(), Some("model.layers.0.self_attn.q_proj.weight"));
        }
        assert_eq!(name("vision_tower.layers.0.self_attn.q_proj.weight"), None);
        assert_eq!(name("model.vision_tower.embeddings.position_ids"), None);
    }
}
