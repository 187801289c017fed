use crate::{chat::ToolFormat, constraint::GrammarCache, model::Model, registry::ModelRecord, weights::TensorIndex};
use gogrid_model::{Manifest, Source};
use std::{fmt, sync::Arc};

/// Names a model of the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModelId(Arc<str>);

impl ModelId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ModelId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a model of the registry cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("its manifest in the registry is damaged")]
    Manifest(#[from] serde_json::Error),
    #[error(transparent)]
    Source(#[from] gogrid_model::SourceError),
    #[error(transparent)]
    Text(#[from] gogrid_model::TextError),
    #[error(transparent)]
    Quant(#[from] gogrid_model::QuantError),
}

/// Reads a model's files and adds its tensors to the index. Blocks: the tokenizer of a large model takes a second.
pub(super) fn open(record: &ModelRecord, index: &TensorIndex) -> Result<Model, OpenError> {
    let source = Source::open(&record.path)?;
    let manifest: Manifest = serde_json::from_str(&record.manifest)?;
    for entry in &manifest.tensors {
        if let Some(location) = source.locate(&entry.name) {
            index.put(entry.hash, location);
        }
    }
    let quant = match record.quant.as_str() {
        "auto" => None,
        name => Some(name.parse()?),
    };
    let text = Arc::new(source.text()?);
    let (name, stages, replicas) = (record.name.clone(), record.stages, record.replicas);
    Ok(Model {
        name,
        created: record.created,
        quant,
        stages,
        replicas,
        manifest,
        text,
        grammars: GrammarCache::default(),
        tools: ToolFormat::named(&record.tools),
    })
}
