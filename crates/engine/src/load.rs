//! Loads a stage: checks its specification, reuses or fetches its weights, and builds it on a thread of its own.

use crate::{
    executor::{Executor, Installed, Loaded, ServeOptions, StageKey},
    pace::{NonPreemptible, Paced},
    resources::lent,
    weights::{FetchError, WeightCache, WeightSource},
};
use gogrid_compute::{LoadError, Runtime, Stage, StageOptions, footprint};
use gogrid_limits::{Account, Ledger, OverLimit, Reservation};
use gogrid_model::{
    DeviceSpec, FloatType, Footprint, Layers, Manifest, ManifestError, ModelConfig, Quant, QuantError, TensorEntry,
    TensorError, TensorHash, TensorSource,
};
use gogrid_wire::control::{LoadFailure, StageSpec};
use std::{borrow::Cow, cell::RefCell, io, sync::Arc, thread};
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
    #[error("the stage does not fit beside what this machine holds")]
    OverLimit(#[from] OverLimit),
    #[error("the stage's weights cannot be fetched")]
    Fetch(#[from] FetchError),
    #[error("the stage cannot be built")]
    Load(#[from] LoadError),
    #[error("no thread for loading can be started")]
    Thread(#[source] io::Error),
    #[error("the executor has ended")]
    Executor,
}

impl StageLoadError {
    /// As far as the coordinator is told: the error itself may name files of the machine.
    pub(crate) fn class(&self) -> LoadFailure {
        match self {
            Self::ManifestJson(_) | Self::Manifest(_) | Self::Quant(_) => LoadFailure::Manifest,
            Self::Memory { .. } | Self::OverLimit(_) => LoadFailure::Memory,
            Self::Fetch(FetchError::Dial(_) | FetchError::Link { .. } | FetchError::Unknown { .. }) => {
                LoadFailure::Unreachable
            }
            Self::Fetch(FetchError::Mismatch { .. }) => LoadFailure::Mismatch,
            Self::Fetch(FetchError::DiskLimit { .. }) => LoadFailure::DiskLimit,
            Self::Fetch(FetchError::Disk { .. }) => LoadFailure::Disk,
            Self::Load(_) => LoadFailure::Build,
            Self::Thread(_) | Self::Executor => LoadFailure::Failed,
        }
    }
}

/// What a load needs from its worker.
#[derive(Clone)]
pub(crate) struct Loader {
    pub(crate) executor: Executor,
    pub(crate) cache: WeightCache,
    pub(crate) device: DeviceSpec,
    pub(crate) ledger: Ledger,
    pub(crate) paced: Paced,
    /// Memory of the device's runtime, held for as long as the worker runs.
    pub(crate) _runtime: Arc<Option<(Runtime, Reservation)>>,
}

/// The fewest rows of a batch that a stage is loaded for.
const FEWEST_ROWS: usize = 8;

impl Loader {
    /// Brings a stage into service. Dropping the call ends the fetching; a build that has begun is thrown away.
    pub(crate) async fn load(
        &self,
        spec: &StageSpec,
        manifest: &[u8],
        weights_from: &WeightSource,
    ) -> Result<Installed, StageLoadError> {
        let hash = TensorHash::of(manifest);
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(StageLoadError::ManifestJson)?;
        let layers = Layers { start: spec.first_layer as usize, end: spec.end_layer as usize };
        let manifest = manifest.for_stage(layers)?;
        let quant = match spec.quant.as_str() {
            "auto" => manifest.default_quant(self.device.kind()),
            name => name.parse::<Quant>()?,
        };
        let footprint = footprint(self.device.kind());
        let weights = footprint.weight_bytes(&manifest, layers, quant);
        let needed = weights.saturating_add(spec.kv_budget);
        let lent = lent(&self.ledger.usage());
        if needed > lent {
            return Err(StageLoadError::Memory { needed, weights, kv: spec.kv_budget, lent });
        }
        // Also for weights that are still in memory: clearing must not take their files.
        self.cache.note_owner(&spec.model, &manifest);
        let key = StageKey { model: spec.model.clone(), manifest: hash, layers, quant, kv_budget: spec.kv_budget };
        if let Some(installed) = self.executor.reuse(key.clone(), spec.epoch, ServeOptions::from(spec)).await {
            tracing::info!(epoch = %spec.epoch, model = spec.model, "weights were still here");
            return Ok(installed);
        }
        self.cache.fetch(&manifest, weights_from).await?;
        let activations = FloatType::of_activations(quant, self.device.kind());
        let (kv_budget, chunk) = (spec.kv_budget, spec.prefill_chunk as usize);
        let options = StageOptions { quant, device: self.device, kv_budget, chunk, activations };
        let weights = self.ledger.reserve(Account::Weights, weights)?;
        let (workspace, rows) = self.workspace(&manifest.config, &footprint, chunk)?;
        let (cache, paced) = (self.cache.clone(), self.paced.clone());
        let stage = on_thread("load", move |over| {
            let source = PacedSource { source: &cache, paced: &paced, over, making: RefCell::default() };
            Stage::load(&manifest, layers, &source, &options)
        })
        .await?;
        let loaded = Loaded { stage, memory: vec![weights, workspace], rows };
        let installed = self.executor.install(key, spec.epoch, ServeOptions::from(spec), loaded).await;
        Ok(installed.ok_or(StageLoadError::Executor)??)
    }

    /// Memory for the intermediate results of a step, and the rows that fit it: as many as are asked for, or fewer if memory
    /// is short, at least [`FEWEST_ROWS`].
    fn workspace(
        &self,
        config: &ModelConfig,
        footprint: &Footprint,
        chunk: usize,
    ) -> Result<(Reservation, usize), OverLimit> {
        let mut rows = chunk.max(FEWEST_ROWS) + crate::scheduler::MAX_BATCH;
        loop {
            match self.ledger.reserve(Account::Workspace, footprint.workspace_bytes(config, rows)) {
                Ok(reserved) => return Ok((reserved, rows)),
                Err(error) if rows <= FEWEST_ROWS => return Err(error),
                Err(_) => rows = (rows / 2).max(FEWEST_ROWS),
            }
        }
    }
}

/// Gives tensors when the pacer allows it: making matrices of them is work like any other.
struct PacedSource<'a> {
    source: &'a dyn TensorSource,
    paced: &'a Paced,
    /// Whether the stage is not wanted any longer.
    over: &'a (dyn Fn() -> bool + Sync),
    /// The matrix that is made of the last tensor, until the next tensor is asked for or the stage is whole.
    making: RefCell<Option<NonPreemptible<'a>>>,
}

impl TensorSource for PacedSource<'_> {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        drop(self.making.take());
        let given_up = || TensorError::new(&entry.name, io::Error::other("the load was given up"));
        self.making.replace(Some(self.paced.non_preemptible(self.over).ok_or_else(given_up)?));
        self.source.tensor(entry)
    }
}

/// Runs heavy work on a named thread of its own, never on the async workers. The work is told whether it is still wanted.
async fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, StageLoadError> {
    let (done, result) = oneshot::channel::<Result<T, LoadError>>();
    let body = move || {
        // Not inside the log call, which may be disabled. The kernels' pool is made here and inherits the priority.
        let levers = gogrid_probe::background_thread();
        tracing::debug!(%levers, "loading");
        let loaded = work(&|| done.is_closed());
        drop(done.send(loaded));
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(StageLoadError::Thread)?;
    Ok(result.await.map_err(|_| StageLoadError::Executor)??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use gogrid_limits::Share;
    use gogrid_model::WeightType;
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicBool, Ordering},
    };

    #[test]
    fn a_matrix_is_under_way_until_the_next_tensor_is_asked_for() {
        let tensors = HashMap::from([("a".to_owned(), vec![0; 4]), ("b".to_owned(), vec![0; 4])]);
        let entry = |name: &str| TensorEntry {
            name: name.into(),
            dtype: WeightType::F32,
            shape: vec![1],
            bytes: 4,
            hash: TensorHash::of(&[0; 4]),
        };
        let (paced, over) = (Paced::new(false), AtomicBool::new(false));
        let (over_now, quiet) =
            (|| over.load(Ordering::Relaxed), || paced.non_preemptible_count().none().now_or_never().is_some());
        let source = PacedSource { source: &tensors, paced: &paced, over: &over_now, making: RefCell::default() };
        paced.lend(Share::FULL);
        source.tensor(&entry("a")).expect("it is there");
        assert!(!quiet(), "its matrix is being made");
        // Paused: what is under way ends, and nothing else begins before the load is given up.
        paced.lend(Share::ZERO);
        over.store(true, Ordering::Relaxed);
        assert!(source.tensor(&entry("b")).is_err());
        assert!(quiet());
        over.store(false, Ordering::Relaxed);
        paced.lend(Share::FULL);
        source.tensor(&entry("b")).expect("it is there");
        assert!(!quiet(), "the last matrix is being made");
        drop(source);
        assert!(quiet(), "the stage is whole");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod thread_tests {
    use super::*;

    /// The scheduling class of the calling thread: 5 is `SCHED_IDLE` (sched(7)).
    fn class() -> String {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("readable");
        // Behind the name, which may hold anything, the class is field 41 of all.
        let mut fields = stat.rsplit(')').next().expect("there is a name").split_whitespace();
        fields.nth(41 - 3).expect("41 fields").to_owned()
    }

    #[tokio::test]
    async fn heavy_work_stands_behind_everybody_and_so_does_what_it_starts() {
        let (own, started) = on_thread("load", |_| {
            let started = thread::Builder::new().name("kernel".into()).spawn(class).expect("a thread");
            Ok((class(), started.join().expect("it ends")))
        })
        .await
        .expect("done");
        assert_eq!((own.as_str(), started.as_str(), class().as_str()), ("5", "5", "0"));
    }
}
