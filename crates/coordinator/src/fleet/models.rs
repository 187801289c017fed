use super::FleetTask;
use crate::{registry::ModelRecord, weights::TensorIndex};
use gogrid_model::{Layers, Manifest, ManifestError, Quant, Source, TextModel};
use std::{collections::BTreeMap, sync::Arc};

/// A model that can be served.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) created: u64,
    /// `None` is each device's default.
    pub(crate) quant: Option<Quant>,
    pub(crate) stages: usize,
    /// Pipelines at once, at most.
    pub(crate) replicas: usize,
    pub(crate) manifest: Manifest,
    pub(crate) text: Arc<TextModel>,
}

impl Model {
    /// The manifest of a stage, as it travels to a worker.
    pub(crate) fn stage_manifest(&self, layers: Layers) -> Result<Vec<u8>, ManifestError> {
        let stage = self.manifest.for_stage(layers)?;
        Ok(serde_json::to_vec(&stage).unwrap_or_default())
    }
}

/// The models by name, and where their tensors lie.
pub(super) struct Models {
    models: BTreeMap<String, (ModelRecord, Arc<Model>)>,
    index: TensorIndex,
}

impl Models {
    pub(super) fn new(index: TensorIndex) -> Self {
        Self { models: BTreeMap::new(), index }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.values().map(|(_, model)| model)
    }

    /// How many pipelines a model may have at once.
    pub(super) fn replicas(&self, model: &str) -> usize {
        self.models.get(model).map_or(0, |(_, model)| model.replicas)
    }
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("its manifest in the registry is damaged")]
    Manifest(#[from] serde_json::Error),
    #[error(transparent)]
    Source(#[from] gogrid_model::SourceError),
    #[error(transparent)]
    Text(#[from] gogrid_model::TextError),
    #[error(transparent)]
    Quant(#[from] gogrid_model::QuantError),
}

fn open(record: &ModelRecord, index: &TensorIndex) -> Result<Model, OpenError> {
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
    Ok(Model { name, created: record.created, quant, stages, replicas, manifest, text })
}

impl FleetTask {
    /// A model of the registry that was opened already.
    #[cfg(test)]
    pub(crate) fn know(&mut self, record: ModelRecord, model: Arc<Model>) {
        self.models.models.insert(record.name.clone(), (record, model));
    }

    /// Reads the registry's models again: new ones are placed, changed ones placed anew, removed ones ended.
    pub(super) async fn reload(&mut self) {
        let records = match self.registry.lock().await.models() {
            Ok(records) => records,
            Err(error) => return tracing::error!(%error, "the models cannot be read"),
        };
        let stale: Vec<String> = self
            .models
            .models
            .values()
            .filter(|(known, _)| !records.contains(known))
            .map(|(known, _)| known.name.clone())
            .collect();
        for name in stale {
            self.models.models.remove(&name);
            self.scaled_out.remove(&name);
            let epochs: Vec<_> = self.builds.iter().filter(|(_, b)| b.model == name).map(|(epoch, _)| *epoch).collect();
            for epoch in epochs {
                self.end(epoch, "the model changed").await;
            }
            // What was planned for it, and holds memory of another size, is no plan for what has its name now.
            self.former.remove(&name);
            self.returning.forget(&name);
            self.waiting.remove(&name);
        }
        for record in records {
            if self.models.models.contains_key(&record.name) {
                continue;
            }
            let index = self.models.index.clone();
            // Tokenizers of large models take a second to read.
            let opened = tokio::task::spawn_blocking({
                let record = record.clone();
                move || open(&record, &index)
            });
            match opened.await {
                Ok(Ok(model)) => {
                    tracing::info!(model = model.name, "model ready to be placed");
                    self.models.models.insert(record.name.clone(), (record, Arc::new(model)));
                }
                Ok(Err(error)) => {
                    tracing::error!(model = record.name, path = %record.path.display(), %error, "model unusable");
                }
                Err(error) => tracing::error!(model = record.name, %error, "model unusable"),
            }
        }
        self.assign().await;
    }
}
