//! What a program must know to load a model, by name, so that a coordinator places models on workers that do.

use crate::{Architecture, Manifest, Mixer, WeightType};
use std::collections::BTreeSet;

/// Keys and values of latent attention's heads in two tensors ([`LatentSpec::split`](crate::LatentSpec::split)).
const SPLIT_LATENT: &str = "split_latent";

/// Names of architectures, types of stored weights, and ways in which tensors lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs(BTreeSet<String>);

impl Needs {
    /// What a model needs.
    pub fn of(manifest: &Manifest) -> Self {
        let config = &manifest.config;
        let mut types: Vec<WeightType> = Vec::new();
        for entry in &manifest.tensors {
            if !types.contains(&entry.dtype) {
                types.push(entry.dtype);
            }
        }
        let is_split = |mixer: &Mixer| matches!(mixer, Mixer::LatentAttention(latent) if latent.split);
        let split = config.layers.iter().any(|layer| is_split(&layer.mixer)).then_some(SPLIT_LATENT.to_owned());
        let types = types.into_iter().map(|dtype| dtype.to_string());
        Needs(types.chain([name(config.architecture)]).chain(split).collect())
    }

    /// All that this program knows.
    pub fn known() -> Self {
        let architectures = Architecture::ALL.into_iter().map(name);
        let types = WeightType::ALL.into_iter().map(|dtype| dtype.to_string());
        Needs(architectures.chain(types).chain([SPLIT_LATENT.to_owned()]).collect())
    }

    /// What programs know that do not say it: what there was when they began to.
    pub fn known_before() -> Self {
        let came_then = |name: &String| {
            let dtype = WeightType::ALL.into_iter().find(|dtype| dtype.to_string() == *name);
            name == SPLIT_LATENT || dtype.is_some_and(|dtype| dtype.is_dequantized() && dtype.held() == dtype)
        };
        Needs(Self::known().0.into_iter().filter(|name| !came_then(name)).collect())
    }

    /// The names of a worker's first message.
    pub fn from_names(names: &[String]) -> Self {
        Needs(names.iter().cloned().collect())
    }

    /// The names.
    pub fn names(self) -> Vec<String> {
        self.0.into_iter().collect()
    }

    /// Whether who knows these can load what needs those.
    pub fn cover(&self, needs: &Needs) -> bool {
        needs.0.is_subset(&self.0)
    }
}

/// The name of an architecture in manifests.
fn name(architecture: Architecture) -> String {
    match serde_json::to_value(architecture) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_needs_its_architecture_and_its_types() {
        let config = serde_json::json!({
            "architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
            "intermediate_size": 64, "vocab_size": 64, "max_position_embeddings": 64,
        });
        let config = crate::ModelConfig::from_hf(&config, None).unwrap();
        let entry = |name: &str, dtype| crate::TensorEntry {
            name: name.to_owned(),
            dtype,
            shape: vec![64, 64],
            bytes: 0,
            hash: crate::TensorHash::of(&[]),
        };
        let tensors = vec![entry("a", WeightType::F32), entry("b", WeightType::Iq4Xs), entry("c", WeightType::F32)];
        let needs = Needs::of(&Manifest { config, tensors });
        assert_eq!(needs.clone().names(), ["f32", "iq4_xs", "qwen2"]);
        assert!(Needs::known().cover(&needs) && !Needs::known_before().cover(&needs));
        assert!(!Needs::from_names(&["f32".to_owned(), "iq4_xs".to_owned()]).cover(&needs));
    }

    #[test]
    fn no_two_names_are_one() {
        let names = Architecture::ALL.len() + WeightType::ALL.len() + 1;
        assert_eq!(Needs::known().names().len(), names);
    }
}
