//! From a stage's specification to weights in memory: check, reuse or fetch, build on a thread of its own.

use crate::{
    executor::{Executor, Installed, StageKey},
    weights::{FetchError, Mirrors, WeightCache},
};
use gogrid_model::{
    DeviceSpec, FloatType, Layers, LoadError, Manifest, ManifestError, Quant, QuantError, Stage, StageOptions,
    TensorHash,
};
use gogrid_wire::control::StageSpec;
use std::{io, thread};
use tokio::sync::oneshot;

/// Why a stage cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageLoadError {
    #[error("the stage's manifest is not readable")]
    ManifestJson(#[source] serde_json::Error),
    #[error("the stage's manifest is not usable")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Quant(#[from] QuantError),
    #[error("the stage needs {needed} bytes (weights {weights}, KV {kv}), and this machine lends {lent}")]
    Memory { needed: u64, weights: u64, kv: u64, lent: u64 },
    #[error("the stage's weights cannot be fetched")]
    Fetch(#[from] FetchError),
    #[error("the stage cannot be built")]
    Load(#[from] LoadError),
    #[error("no thread for loading can be started")]
    Thread(#[source] io::Error),
    #[error("the executor has ended")]
    Executor,
}

/// What a load needs of its worker.
#[derive(Clone)]
pub(crate) struct Loader {
    pub(crate) executor: Executor,
    pub(crate) cache: WeightCache,
    pub(crate) device: DeviceSpec,
    /// Memory lent, in bytes.
    pub(crate) memory: u64,
}

impl Loader {
    /// Brings a stage into service. Dropping the call ends the fetching; a build that has begun is thrown away.
    pub(crate) async fn load(
        &self,
        spec: &StageSpec,
        manifest: &[u8],
        mirrors: &Mirrors,
    ) -> Result<Installed, StageLoadError> {
        let hash = TensorHash::of(manifest);
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(StageLoadError::ManifestJson)?;
        let layers = Layers { start: spec.first_layer as usize, end: spec.end_layer as usize };
        let manifest = manifest.for_stage(layers)?;
        let quant = match spec.quant.as_str() {
            "auto" => manifest.default_quant(self.device.kind()),
            name => name.parse::<Quant>()?,
        };
        let weights = manifest.stage_bytes(layers, quant, self.device.kind());
        let needed = weights.saturating_add(spec.kv_budget);
        if needed > self.memory {
            return Err(StageLoadError::Memory { needed, weights, kv: spec.kv_budget, lent: self.memory });
        }
        let key = StageKey { manifest: hash, layers, quant, kv_budget: spec.kv_budget };
        if let Some(installed) = self.executor.reuse(key.clone(), spec.epoch, spec.prefill_chunk).await {
            tracing::info!(epoch = %spec.epoch, model = spec.model, "weights were still here");
            return Ok(installed);
        }
        self.cache.fetch(&manifest, mirrors).await?;
        let activations = match (quant, self.device) {
            (Quant::None, DeviceSpec::Cpu) => FloatType::F32,
            (Quant::None, _) => FloatType::Bf16,
            _ => FloatType::F16,
        };
        let options = StageOptions { quant, device: self.device, kv_budget: spec.kv_budget, activations };
        let cache = self.cache.clone();
        let stage = on_thread("load", move || Stage::load(&manifest, layers, &cache, &options)).await?;
        self.executor.install(key, spec.epoch, spec.prefill_chunk, stage).await.ok_or(StageLoadError::Executor)
    }
}

/// Runs heavy work on a named thread of its own, never on the async workers.
async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, StageLoadError> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || drop(done.send(work())))
        .map_err(StageLoadError::Thread)?;
    Ok(result.await.map_err(|_| StageLoadError::Executor)??)
}
