//! A model as the fleet plans it and the router serves it: opened from the registry, immutable, shared.

use crate::{chat::ToolFormat, constraint::GrammarCache};
use gogrid_model::{Layers, Manifest, ManifestError, Quant, TextModel};
use std::sync::Arc;

/// A model that can be served.
pub(crate) struct Model {
    pub(crate) name: String,
    /// When it was added, in seconds since the Unix epoch.
    pub(crate) created: u64,
    /// The weight type; `None` is each device's default.
    pub(crate) quant: Option<Quant>,
    /// The fewest stages of a pipeline.
    pub(crate) stages: usize,
    /// The most pipelines at once.
    pub(crate) replicas: usize,
    pub(crate) manifest: Manifest,
    /// Tokenizer and chat template.
    pub(crate) text: Arc<TextModel>,
    /// What its constraints share.
    pub(crate) grammars: GrammarCache,
    /// How it calls tools, where its operator has said so.
    pub(crate) tools: Option<ToolFormat>,
}

impl Model {
    /// The manifest of a stage as JSON, as it travels to a worker.
    ///
    /// # Errors
    /// A tensor of these layers is missing.
    pub(crate) fn stage_manifest(&self, layers: Layers) -> Result<Vec<u8>, ManifestError> {
        let stage = self.manifest.for_stage(layers)?;
        Ok(serde_json::to_vec(&stage).unwrap_or_default())
    }
}
