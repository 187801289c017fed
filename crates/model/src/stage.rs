//! A stage: some of a model's layers on one device, with the KV cache of their sessions.

mod errors;

pub use errors::{ForwardError, LoadError};

use crate::attention::Step;
use crate::block::Block;
use crate::kv::{KvPool, KvShape};
use crate::linear::{Linear, Weight};
use crate::rope::Frequencies;
use crate::weights::Loader;
use crate::{
    Activations, DeviceKind, DeviceSpec, FloatType, Input, KvError, Layers, Manifest, ModelConfig, Output, Quant,
    SessionKey, Span, TensorSource, tensors,
};
use candle_core::{DType, Device, Tensor, utils::with_threadpool};
use candle_nn::ops::rms_norm;
use std::collections::HashSet;

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
        let device = options.device.open()?;
        let kind = options.device.kind();
        let compute = manifest.compute_type(layers, options.quant, kind);
        let config = manifest.config.clone();
        let loader = Loader { manifest: &manifest, source, quant: options.quant, compute, device: &device };
        let (embedding, matrix) = loader.ends(layers.has_embedding(), layers.has_head(config.layers))?;
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
            dtype: compute.dtype(),
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

    /// Bytes of KV cache that sessions have reserved.
    pub fn kv_used(&self) -> u64 {
        self.kv.used()
    }

    /// Bytes of KV cache that sessions may reserve.
    pub fn kv_budget(&self) -> u64 {
        self.kv.budget()
    }

    /// Computes one step for the rows of several sessions, and caches their keys and values.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub fn forward(&mut self, spans: &[Span], input: Input<'_>) -> Result<Output, ForwardError> {
        // Operations on several rows split their work for candle's thread pool. Called from outside it, each of them would
        // hand its work over and sleep until it is done; within it they begin at once.
        let rows = spans.iter().fold(0usize, |rows, span| rows.saturating_add(span.tokens));
        if rows > 1 && self.device.is_cpu() {
            return with_threadpool(|| self.forward_with(spans, input, &mut |_, _| {}));
        }
        self.forward_with(spans, input, &mut |_, _| {})
    }

    /// The same, with a look at what enters each layer.
    pub(crate) fn forward_with(
        &mut self,
        spans: &[Span],
        input: Input<'_>,
        trace: Trace<'_>,
    ) -> Result<Output, ForwardError> {
        let rows = self.check_spans(spans)?;
        self.check_input(rows, &input)?;
        let dtype = self.compute.dtype();
        let mut hidden = match (input, &self.embedding) {
            (Input::Tokens(ids), Some(table)) => table.lookup(ids, &self.device, dtype)?,
            (Input::Hidden(activations), None) => activations.to_tensor(&self.device, dtype)?,
            (input, _) => return Err(self.wrong_input(&input)),
        };
        let positions: Vec<usize> = spans.iter().flat_map(|span| span.position..span.position + span.tokens).collect();
        let angles = self.frequencies.angles(&positions, &self.device, dtype)?;
        let mut step = Step { spans, rows, angles, kv: &mut self.kv };
        for (layer, block) in self.layers.range().zip(&self.blocks) {
            trace(layer, &hidden);
            hidden = block.forward(&hidden, &mut step)?;
        }
        let output = match &self.head {
            Some(head) => {
                trace(self.config.layers, &hidden);
                Output::Logits(head.logits(&hidden, spans, self.config.norm_eps as f32)?)
            }
            None => Output::Hidden(Activations::from_tensor(&hidden, self.activations)?),
        };
        for span in spans {
            self.kv.commit(span.session, span.tokens);
        }
        Ok(output)
    }

    /// Checks the spans against the sessions; gives their tokens.
    fn check_spans(&self, spans: &[Span]) -> Result<usize, ForwardError> {
        if spans.is_empty() {
            return Err(ForwardError::NoSpans);
        }
        let mut seen = HashSet::with_capacity(spans.len());
        let mut rows = 0usize;
        for &Span { session, position, tokens, .. } in spans {
            if tokens == 0 {
                return Err(ForwardError::EmptySpan(session));
            }
            if !seen.insert(session) {
                return Err(ForwardError::TwoSpans(session));
            }
            let cached = self.kv.get(session).ok_or(ForwardError::UnknownSession(session))?;
            if position != cached.length {
                return Err(ForwardError::Position { session, position, cached: cached.length });
            }
            let needed = position.saturating_add(tokens);
            if needed > cached.capacity {
                return Err(ForwardError::OutOfCapacity { session, needed, capacity: cached.capacity });
            }
            rows = rows.saturating_add(tokens);
        }
        Ok(rows)
    }

    fn check_input(&self, rows: usize, input: &Input<'_>) -> Result<(), ForwardError> {
        let found = match input {
            Input::Tokens(ids) => ids.len(),
            Input::Hidden(activations) => activations.rows,
        };
        match (input, self.layers.has_embedding()) {
            (Input::Tokens(ids), true) => {
                let vocabulary = self.config.vocab_size;
                if let Some(&token) = ids.iter().find(|&&id| id as usize >= vocabulary) {
                    return Err(ForwardError::Token { token, vocabulary });
                }
            }
            (Input::Hidden(activations), false) => {
                let (found, expected) = (activations.width, self.config.hidden_size);
                if found != expected {
                    return Err(ForwardError::Width { expected, found });
                }
                activations.validate()?;
            }
            _ => return Err(self.wrong_input(input)),
        }
        if found != rows {
            return Err(ForwardError::Rows { expected: rows, found });
        }
        Ok(())
    }

    fn wrong_input(&self, input: &Input<'_>) -> ForwardError {
        let (tokens, activations) = ("tokens", "activations");
        let (expected, found) = match input {
            Input::Tokens(_) => (activations, tokens),
            Input::Hidden(_) => (tokens, activations),
        };
        ForwardError::Input { layers: self.layers, expected, found }
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
