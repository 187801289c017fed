//! A stage: some of a model's layers on one device, with the state of their sequences. The one door of this crate: it
//! checks what comes in and counts what sequences take; a back end does the rest.

mod errors;
mod pass;
#[cfg(test)]
mod recurrent_tests;
#[cfg(test)]
mod tests;

pub use errors::{ForwardError, LoadError};
pub use pass::Pass;

use crate::backend::{Backend, UnitKind};
use crate::reference::{self, Reference};
use crate::sequences::{Sequences, StateError};
use gogrid_model::{
    Activations, CandidateRequest, DeviceKind, DeviceSpec, FloatType, Footprint, Input, Layers, Manifest, ModelConfig,
    Quant, SequenceSizes, SessionKey, Span, TensorSource,
};

/// Steps that use every kernel of a GPU once: one of many rows, with a mask, and one of a single row.
const WARM_UP_TOKENS: [usize; 2] = [33, 1];

/// How a stage holds its weights and sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageOptions {
    /// What weights are quantized to while loading.
    pub quant: Quant,
    /// Where the stage computes.
    pub device: DeviceSpec,
    /// The most bytes that sequences may reserve.
    pub kv_budget: u64,
    /// The most tokens of one sequence in a step. A windowed cache holds them beside its window.
    pub chunk: usize,
    /// The type of the activations that the stage puts out.
    pub activations: FloatType,
}

/// Some of a model's layers on one device, with the state of their sequences.
#[derive(Debug)]
pub struct Stage {
    config: ModelConfig,
    layers: Layers,
    sequences: Sequences,
    backend: Box<dyn Backend>,
    weight_bytes: u64,
}

/// Loads a stage on the back end that computes it fastest: the one place where that is decided. A GPU of NVIDIA has
/// kernels of our own for most dense models; everything else is the reference back end's.
fn choose(
    manifest: &Manifest,
    layers: Layers,
    source: &dyn TensorSource,
    options: &StageOptions,
    footprint: &Footprint,
    sizes: &SequenceSizes,
) -> Result<Box<dyn Backend>, LoadError> {
    #[cfg(feature = "cuda")]
    if let DeviceSpec::Cuda(index) = options.device {
        let compute = footprint.compute_type(manifest, layers, options.quant);
        match crate::cuda::supports::check(manifest, layers, options.quant, compute) {
            Ok(()) => {
                tracing::info!(%layers, device = %options.device, "the stage is computed by the CUDA back end");
                let stage = crate::cuda::Cuda::load(manifest, layers, source, options, footprint, index)?;
                return Ok(Box::new(stage));
            }
            Err(reason) => {
                tracing::info!(%layers, reason, "the stage is computed by the reference back end");
            }
        }
    }
    #[cfg(not(feature = "cuda"))]
    let _ = footprint;
    Ok(Box::new(Reference::load(manifest, layers, source, options, sizes)?))
}

impl Stage {
    /// Loads the weights of these layers. The manifest may list the whole model or the stage's tensors alone.
    ///
    /// # Errors
    /// The manifest does not fit, a tensor cannot be had, the device cannot hold it.
    pub fn load(
        manifest: &Manifest,
        layers: Layers,
        source: &dyn TensorSource,
        options: &StageOptions,
    ) -> Result<Self, LoadError> {
        let manifest = manifest.for_stage(layers)?;
        let StageOptions { quant, device, kv_budget, chunk, activations } = *options;
        let footprint = reference::footprint(device.kind());
        let sizes = footprint.sequences(&manifest, layers, quant, chunk.max(1));
        let weight_bytes = footprint.weight_bytes(&manifest, layers, quant);
        let backend = choose(&manifest, layers, source, options, &footprint, &sizes)?;
        tracing::debug!(%layers, %device, %quant, weight_bytes, "stage loaded");
        let config = manifest.config;
        let sequences = Sequences::new(sizes, config.context_length, kv_budget);
        let mut stage = Stage { config, layers, sequences, backend, weight_bytes };
        if device.kind() != DeviceKind::Cpu {
            stage.warm_up(activations)?;
        }
        Ok(stage)
    }

    /// Computes a little, so that a GPU's driver compiles its kernels now: where it has not kept them from an earlier
    /// time that takes half a minute, which the first request would wait for.
    fn warm_up(&mut self, activations: FloatType) -> Result<(), LoadError> {
        const SESSION: SessionKey = SessionKey(u64::MAX);
        if self.open(SESSION, WARM_UP_TOKENS.iter().sum()).is_err() {
            return Ok(());
        }
        let mut position = 0;
        let most = self.max_span().unwrap_or(usize::MAX);
        for tokens in WARM_UP_TOKENS.map(|tokens| tokens.min(most)) {
            let input = match self.layers.has_embedding() {
                true => Input::Tokens(&[0; 64][..tokens]),
                false => {
                    let width = self.config.row_width(self.layers.start);
                    Input::Hidden(Activations::from_f32(&vec![0.0; tokens * width], width, activations))
                }
            };
            let want = Some(CandidateRequest { top: 1, ..CandidateRequest::default() });
            let span = Span { session: SESSION, position, tokens, want };
            self.forward(&[span], input).map_err(|error| LoadError::WarmUp(Box::new(error)))?;
            position += tokens;
        }
        self.close(SESSION);
        Ok(())
    }

    /// Reserves memory for a session that may reach `capacity` tokens.
    ///
    /// # Errors
    /// It does not fit the budget or the model's context, or is open already. Other sessions are untouched.
    pub fn open(&mut self, session: SessionKey, capacity: usize) -> Result<(), StateError> {
        self.sequences.open(session, capacity)?;
        self.backend.open(session, capacity);
        Ok(())
    }

    /// Frees what a session holds; false if there is no such session.
    pub fn close(&mut self, session: SessionKey) -> bool {
        self.backend.close(session);
        self.sequences.close(session)
    }

    /// Goes on with the first `keep` tokens of session `from` as session `to`, which may reach `capacity` tokens.
    ///
    /// # Errors
    /// `from` is not open, `to` is open, the state behind `keep` tokens is not there ([`StateError::NoSnapshot`]), or
    /// what `to` takes beyond `from` does not fit the budget. Nothing changes then.
    pub fn reuse(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> Result<(), StateError> {
        self.check_source(from, to, keep)?;
        self.sequences.reuse(from, to, capacity, keep)?;
        self.backend.reuse(from, to, capacity, keep);
        Ok(())
    }

    /// Opens session `to`, which may reach `capacity` tokens, with a copy of the first `keep` tokens of session `from`.
    ///
    /// # Errors
    /// As [`Stage::reuse`], and where the device cannot copy the state. Nothing changes then.
    pub fn fork(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> Result<(), StateError> {
        self.check_source(from, to, keep)?;
        self.sequences.fork(to, capacity, keep)?;
        self.backend.fork(from, to, capacity, keep).map_err(|error| {
            self.close(to);
            StateError::NotCopied(error.to_string())
        })
    }

    fn check_source(&self, from: SessionKey, to: SessionKey, keep: usize) -> Result<(), StateError> {
        let sequence = self.sequences.check_source(from, to)?;
        let available = self.backend.positions(from, sequence.length);
        if available.contains(keep) { Ok(()) } else { Err(StateError::NoSnapshot { asked: keep, available }) }
    }

    /// Gives back what a session reserved beyond its tokens; it takes [`Stage::kv_bytes`] of its length from then on.
    ///
    /// # Errors
    /// The device cannot move the state. The session has to be closed then.
    pub fn trim(&mut self, session: SessionKey) -> Result<(), StateError> {
        let Some(length) = self.cached(session) else { return Err(StateError::Unknown(session)) };
        self.backend.trim(session, length).map_err(|error| StateError::NotCopied(error.to_string()))?;
        self.sequences.trim(session);
        Ok(())
    }

    /// Frees what every session holds.
    pub fn close_all(&mut self) {
        self.backend.clear();
        self.sequences.clear();
    }

    /// Whether the stage puts out candidates.
    pub fn has_head(&self) -> bool {
        self.layers.has_head(self.config.layers.len())
    }

    /// The kinds of units that its steps are cut into.
    pub fn unit_kinds(&self) -> &[UnitKind] {
        self.backend.kinds()
    }

    /// The most tokens of one session in a step; `None` where any number will do.
    pub fn max_span(&self) -> Option<usize> {
        self.sequences.sizes().chunk()
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.sequences.len()
    }

    /// Tokens that a session has taken in; `None` if it is not open.
    pub fn cached(&self, session: SessionKey) -> Option<usize> {
        self.sequences.get(session).map(|sequence| sequence.length)
    }

    /// The stage's layers.
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// The model's description.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Bytes of the weights in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Kernels that were launched so far; `None` where the back end does not count them.
    pub fn launches(&self) -> Option<u64> {
        self.backend.launches()
    }

    /// Bytes that a session of up to `capacity` tokens reserves.
    pub fn kv_bytes(&self, capacity: usize) -> u64 {
        self.sequences.sizes().bytes(capacity)
    }

    /// Bytes that sessions have reserved.
    pub fn kv_used(&self) -> u64 {
        self.sequences.used()
    }

    /// Bytes that sessions may reserve.
    pub fn kv_budget(&self) -> u64 {
        self.sequences.budget()
    }
}
