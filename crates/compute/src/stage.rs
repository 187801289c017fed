//! A stage: some of a model's layers on one device, with the KV cache of their sessions.

mod errors;
mod pass;

pub use errors::{ForwardError, LoadError};
pub use pass::{Pass, Unit};

use crate::block::Block;
use crate::kv::{KvPool, KvShape};
use crate::linear::{Linear, Weight};
use crate::rope::Frequencies;
use crate::weights::Loader;
use crate::{KvError, convert, device};
use candle_core::{DType, Device, Tensor};
use candle_nn::ops::rms_norm;
use gogrid_model::{
    Activations, DeviceKind, DeviceSpec, FloatType, Input, Layers, Manifest, ModelConfig, Quant, SessionKey, Span,
    TensorSource, tensors,
};

/// Steps that use every kernel of a GPU once: one of many rows, with a mask, and one of a single row.
const WARM_UP_TOKENS: [usize; 2] = [33, 1];

/// How a stage holds its weights and cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageOptions {
    /// What weights are quantized to while loading.
    pub quant: Quant,
    /// Where the stage computes.
    pub device: DeviceSpec,
    /// The most bytes that sessions may reserve in the KV cache.
    pub kv_budget: u64,
    /// The type of the activations that the stage puts out.
    pub activations: FloatType,
}

/// Some of a model's layers on one device, with the KV cache of their sessions.
#[derive(Debug)]
pub struct Stage {
    config: ModelConfig,
    layers: Layers,
    device: Device,
    compute: FloatType,
    activations: FloatType,
    embedding: Option<Weight>,
    blocks: Vec<Block>,
    head: Option<Head>,
    frequencies: Frequencies,
    kv: KvPool,
    weight_bytes: u64,
}

/// The final norm and the matrix that gives logits.
#[derive(Debug)]
struct Head {
    norm: Tensor,
    matrix: Linear,
}

/// What looks at the residual stream: called with a layer and the stream that enters it, and with the number of layers
/// and what enters the head.
pub(crate) type Trace<'a> = &'a mut dyn FnMut(usize, &Tensor);

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
        let device = device::open(options.device)?;
        let kind = options.device.kind();
        let compute = manifest.compute_type(layers, options.quant, kind);
        let config = manifest.config.clone();
        let loader = Loader { manifest: &manifest, source, quant: options.quant, compute, device: &device };
        let (embedding, matrix) = loader.ends(layers.has_embedding(), layers.has_head(config.layers.len()))?;
        let head = match matrix {
            Some(weight) => {
                Some(Head { norm: loader.norm(tensors::FINAL_NORM)?, matrix: Linear { weight, bias: None } })
            }
            None => None,
        };
        let blocks = layers
            .range()
            .enumerate()
            .map(|(index, layer)| Block::load(&loader, layer, index))
            .collect::<Result<Vec<_>, _>>()?;
        let shape = KvShape {
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            dtype: convert::dtype(compute),
            device: device.clone(),
        };
        let token = config.kv_bytes_per_token(layers.len(), compute);
        let kv = KvPool::new(shape, layers.len(), config.context_length, token, options.kv_budget);
        let weight_bytes = manifest.stage_bytes(layers, options.quant, kind);
        let frequencies = Frequencies::new(&config);
        let activations = options.activations;
        tracing::debug!(%layers, %compute, device = %options.device, quant = %options.quant, weight_bytes, "stage loaded");
        let mut stage = Stage {
            config,
            layers,
            device,
            compute,
            activations,
            embedding,
            blocks,
            head,
            frequencies,
            kv,
            weight_bytes,
        };
        if kind != DeviceKind::Cpu {
            stage.warm_up()?;
        }
        Ok(stage)
    }

    /// Computes a little, so that a GPU's driver compiles its kernels now: where it has not kept them from an earlier
    /// time that takes half a minute, which the first request would wait for.
    fn warm_up(&mut self) -> Result<(), LoadError> {
        const SESSION: SessionKey = SessionKey(u64::MAX);
        if self.kv.open(SESSION, WARM_UP_TOKENS.iter().sum()).is_err() {
            return Ok(());
        }
        let mut position = 0;
        for tokens in WARM_UP_TOKENS {
            let input = match self.embedding {
                Some(_) => Input::Tokens(&[0; 64][..tokens]),
                None => {
                    let width = self.config.hidden_size;
                    Input::Hidden(Activations::from_f32(&vec![0.0; tokens * width], width, self.activations))
                }
            };
            let span = Span { session: SESSION, position, tokens, logits: true };
            self.forward(&[span], input).map_err(|error| LoadError::WarmUp(Box::new(error)))?;
            position += tokens;
        }
        self.kv.close(SESSION);
        Ok(())
    }

    /// Reserves KV cache for a session that may reach `capacity` tokens.
    ///
    /// # Errors
    /// It does not fit the budget or the model's context, or is open already. Other sessions are untouched.
    pub fn open(&mut self, session: SessionKey, capacity: usize) -> Result<(), KvError> {
        self.kv.open(session, capacity)
    }

    /// Frees a session's cache; false if there is no such session.
    pub fn close(&mut self, session: SessionKey) -> bool {
        self.kv.close(session)
    }

    /// Goes on with the first `keep` tokens of session `from` as session `to`, which may reach `capacity` tokens. False,
    /// and nothing changes, where `from` has fewer or was opened for less, or `to` is open.
    pub fn resume(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> bool {
        self.kv.resume(from, to, capacity, keep)
    }

    /// Frees every session's cache.
    pub fn close_all(&mut self) {
        self.kv.clear();
    }

    /// Whether the stage puts out logits.
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.kv.len()
    }

    /// Tokens that a session has in the cache; `None` if it is not open.
    pub fn cached(&self, session: SessionKey) -> Option<usize> {
        self.kv.get(session).map(|session| session.length)
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

    /// Bytes of KV cache that a session of up to `capacity` tokens reserves.
    pub fn kv_bytes(&self, capacity: usize) -> u64 {
        self.kv.bytes(capacity)
    }

    /// Bytes of KV cache that sessions have reserved.
    pub fn kv_used(&self) -> u64 {
        self.kv.used()
    }

    /// Bytes of KV cache that sessions may reserve.
    pub fn kv_budget(&self) -> u64 {
        self.kv.budget()
    }
}

impl Head {
    /// Logits behind the last token of the spans that want them. hidden `// (rows, hidden_size)`
    fn logits(&self, hidden: &Tensor, spans: &[Span], norm_eps: f32) -> candle_core::Result<Vec<Vec<f32>>> {
        let mut end = 0;
        let mut wanted = Vec::new();
        for span in spans {
            end += span.tokens;
            if span.logits {
                wanted.push(end as u32 - 1);
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = match wanted.len() == hidden.dim(0)? {
            true => hidden.clone(),
            false => hidden.index_select(&Tensor::new(wanted, hidden.device())?, 0)?,
        };
        let logits = self.matrix.forward(&rms_norm(&rows, &self.norm, norm_eps)?)?;
        logits.to_dtype(DType::F32)?.to_vec2()
    }
}
