//! The reference back end: candle's tensors on a CPU, CUDA or Metal. Every other back end is checked against it.
//!
//! A layer is three units (mixer; gate and up; down), and the head is one.

mod activation;
mod attend;
mod attention;
mod block;
mod blocks;
mod cache;
mod conv;
mod convert;
mod decode;
mod delta_net;
mod delta_rule;
mod dequantize;
mod experts;
mod latent;
mod linear;
mod mask;
mod mlp;
mod norm;
mod per_layer;
mod recurrence;
pub(crate) mod rope;
mod router;
mod runtime;
mod short_conv;
mod softmax;
pub(crate) mod units;
pub(crate) mod weights;

pub use runtime::Runtime;

use crate::backend::{Backend, PassState, Unit, UnitKind};
use crate::{ForwardError, LoadError, Positions, StageOptions, Threads, device};
use attend::{Kept, Step};
use attention::Place;
use block::{Block, Inner};
use cache::{CacheShape, Caches};
use candle_core::{DType, Device, Tensor};
#[cfg(test)]
pub(crate) use convert::dense;
#[cfg(test)]
pub(crate) use convert::ggml;
#[cfg(test)]
pub(crate) use dequantize::values as dequantized;
use gogrid_model::{
    Candidates, DeviceKind, FloatType, Footprint, Input, Layers, Manifest, Mixer, ModelConfig, Output, Scales,
    SequenceSizes, SessionKey, Span, TensorSource, candidates, tensors,
};
use linear::{Linear, Weight};
use mask::Masks;
use norm::Norm;
use per_layer::Rows;
use recurrence::Recurrences;
use rope::{Angles, Ropes};
use std::ops::Range;
use units::{LAYER, LayerUnit, Units};
use weights::Loader;
#[cfg(test)]
pub(crate) use weights::dequantized as values_of;

/// One stage on candle.
#[derive(Debug)]
pub(crate) struct Reference {
    config: ModelConfig,
    layers: Layers,
    device: Device,
    compute: FloatType,
    activations: FloatType,
    embedding: Option<Weight>,
    /// What makes the layers' rows besides the residual stream.
    rows: Option<Rows>,
    blocks: Vec<Block>,
    head: Option<Head>,
    ropes: Ropes,
    caches: Caches,
    recurrences: Recurrences,
    units: Units,
}

/// The final norm and the matrix that gives logits.
#[derive(Debug)]
struct Head {
    norm: Norm,
    matrix: Linear,
    /// What becomes of logits.
    scales: Scales,
}

/// What a pass carries from unit to unit.
struct Carried {
    /// Rows of all spans.
    rows: usize,
    /// One for each position embedding.
    angles: Vec<Angles>,
    masks: Masks,
    /// The residual stream, `// (rows, hidden_size)`.
    hidden: Tensor,
    /// The rows of the stage's layers and of those behind it, `// (rows, layers × width)`.
    of_layers: Option<Tensor>,
    /// Keys and values that later layers share.
    kept: Kept,
    /// Between the halves of a feed-forward network.
    inner: Option<Inner>,
}

impl Reference {
    /// Loads the weights of these layers. The manifest is that of the stage.
    pub(crate) fn load(
        manifest: &Manifest,
        layers: Layers,
        source: &dyn TensorSource,
        options: &StageOptions,
        sizes: &SequenceSizes,
    ) -> Result<Self, LoadError> {
        let device = device::open(options.device)?;
        let footprint = footprint(options.device.kind());
        let compute = footprint.compute_type(manifest, layers, options.quant);
        let config = manifest.config.clone();
        let loader = Loader { manifest, source, quant: options.quant, compute, device: &device };
        let (embedding, matrix) = loader.ends(layers.has_embedding(), layers.has_head(config.layers.len()))?;
        let head = match matrix {
            Some(weight) => {
                let (norm, matrix) = (loader.norm(tensors::FINAL_NORM)?, Linear { weight, bias: None });
                Some(Head { norm, matrix, scales: config.scales })
            }
            None => None,
        };
        let ropes = Ropes::new(&config, layers);
        let blocks = layers
            .range()
            .map(|layer| Block::load(&loader, &ropes, place(&config, layers, layer)))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = match &config.per_layer {
            Some(spec) if layers.has_embedding() => Some(Rows::load(&loader, spec)?),
            _ => None,
        };
        let shape = |layer: usize| {
            let (kv_heads, key_dim, value_dim) = match &config.layers[layer].mixer {
                Mixer::Attention(spec) => (spec.kv_heads, spec.head_dim, Some(spec.head_dim)),
                Mixer::LatentAttention(spec) => (1, spec.cached(), None),
                Mixer::DeltaNet(_) | Mixer::ShortConv(_) => return None,
            };
            let (dtype, device) = (convert::dtype(compute), device.clone());
            Some(CacheShape { kv_heads, key_dim, value_dim, dtype, device })
        };
        let shapes = layers.range().chain(config.shared_before(layers.range())).map(shape).collect();
        Ok(Reference {
            units: Units::new(manifest, layers, options.quant, &footprint),
            ropes,
            caches: Caches::new(shapes, sizes.clone()),
            recurrences: Recurrences::new(sizes),
            config,
            layers,
            device,
            compute,
            activations: options.activations,
            embedding,
            rows,
            blocks,
            head,
        })
    }

    fn carried<'a>(&self, state: &'a PassState) -> Result<&'a Carried, ForwardError> {
        state.downcast_ref().ok_or_else(|| foreign_pass().into())
    }

    /// Computes units within the threads that were chosen for them.
    fn compute(
        &mut self,
        spans: &[Span],
        pass: &mut Carried,
        units: Range<usize>,
    ) -> Result<Option<Output>, ForwardError> {
        let layers = self.blocks.len() * LAYER.len();
        let all = layers + usize::from(self.head.is_some());
        let last = units.end == all;
        let mut found = None;
        if units.start == 0 {
            self.take_in(spans, pass)?;
        }
        for unit in units {
            let (layer, part) = (unit / LAYER.len(), LAYER[unit % LAYER.len()]);
            let Some(block) = self.blocks.get(layer) else {
                let head = self.head.as_ref().ok_or_else(foreign_pass)?;
                found = Some(head.candidates(&pass.hidden, spans)?);
                continue;
            };
            match (part, pass.inner.take()) {
                (LayerUnit::Up, _) => pass.inner = Some(block.up(&pass.hidden)?),
                (LayerUnit::Down, Some(inner)) => {
                    let width = self.config.per_layer.map_or(0, |per_layer| per_layer.width);
                    let own = pass.of_layers.as_ref().map(|rows| rows.narrow(1, layer * width, width));
                    let own = own.transpose()?.map(|own| own.contiguous()).transpose()?;
                    pass.hidden = block.down(&pass.hidden, &inner, own.as_ref())?;
                }
                _ => {
                    let mut step = Step {
                        spans,
                        rows: pass.rows,
                        angles: &pass.angles,
                        masks: &mut pass.masks,
                        caches: &mut self.caches,
                        kept: &mut pass.kept,
                        recurrences: &mut self.recurrences,
                    };
                    pass.hidden = block.mix(&pass.hidden, &mut step)?;
                }
            }
        }
        Ok(match found {
            Some(found) => Some(Output::Candidates(found)),
            None if last => Some(Output::Hidden(convert::from_tensor(&self.outgoing(pass)?, self.activations)?)),
            None => None,
        })
    }
}

impl Reference {
    /// Splits the rows that came from another machine: the residual stream, the rows of layers, and keys and values of
    /// earlier layers.
    fn incoming(&self, all: &Tensor) -> candle_core::Result<(Tensor, Option<Tensor>, Kept)> {
        let (rows, width) = all.dims2()?;
        let hidden_size = self.config.hidden_size;
        if width == hidden_size {
            return Ok((all.clone(), None, Kept::new()));
        }
        let mut start = 0;
        let mut take = |width: usize| {
            start += width;
            all.narrow(1, start - width, width)?.contiguous()
        };
        let hidden = take(hidden_size)?;
        let behind = self.config.layers.len() - self.layers.start;
        let of_layers = self.config.per_layer.map(|per_layer| take(per_layer.width * behind)).transpose()?;
        let mut kept = Kept::new();
        for source in self.config.shared_before(self.layers.start..self.config.layers.len()) {
            let Some(spec) = self.config.layers[source].attention() else { continue };
            let mut by_head = || take(spec.kv_width())?.reshape((rows, spec.kv_heads, spec.head_dim));
            kept.insert(source, (by_head()?, by_head()?));
        }
        Ok((hidden, of_layers, kept))
    }

    /// The rows for the next machine, in the same order.
    fn outgoing(&self, pass: &Carried) -> candle_core::Result<Tensor> {
        let of = self.config.layers.len();
        let mut parts = vec![pass.hidden.clone()];
        if let (Some(rows), Some(per_layer)) = (&pass.of_layers, self.config.per_layer) {
            let (done, left) = (self.layers.len() * per_layer.width, (of - self.layers.end) * per_layer.width);
            parts.extend((left > 0).then(|| rows.narrow(1, done, left)).transpose()?);
        }
        for source in self.config.shared_before(self.layers.end..of) {
            let Some((keys, values)) = pass.kept.get(&source) else {
                candle_core::bail!("the keys and values of layer {source} are not there");
            };
            parts.extend([keys.flatten_from(1)?, values.flatten_from(1)?]);
        }
        match parts.as_slice() {
            [hidden] => Ok(hidden.clone()),
            parts => Tensor::cat(parts, 1),
        }
    }

    /// Writes the keys and values of earlier layers that came with the rows, for the layers here that share them.
    fn take_in(&mut self, spans: &[Span], pass: &Carried) -> candle_core::Result<()> {
        let before = self.config.shared_before(self.layers.range());
        for (at, source) in before.iter().enumerate() {
            let Some((keys, values)) = pass.kept.get(source) else {
                candle_core::bail!("the keys and values of layer {source} did not come");
            };
            let mut start = 0;
            for Span { session, position, tokens, .. } in spans {
                let by_head = |new: &Tensor| new.narrow(0, start, *tokens)?.transpose(0, 1)?.contiguous();
                let (keys, values) = (by_head(keys)?, by_head(values)?);
                self.caches.append(*session, self.blocks.len() + at, *position, &keys, Some(&values))?;
                start += tokens;
            }
        }
        Ok(())
    }
}

/// What stages take in memory on a device of this kind.
pub fn footprint(device: DeviceKind) -> Footprint {
    // Weights are in memory once.
    Footprint::reference(device, Vec::new())
}

/// Where a layer is in its model and its stage. Caches of earlier layers are behind those of the stage's own.
fn place(config: &ModelConfig, layers: Layers, layer: usize) -> Place {
    let shared = config.layers[layer].attention().and_then(|attention| attention.shares);
    let cache = match shared {
        None => layer - layers.start,
        Some(source) if source >= layers.start => source - layers.start,
        Some(source) => {
            let before = config.shared_before(layers.range());
            layers.len() + before.iter().position(|known| *known == source).unwrap_or(0)
        }
    };
    let kept = config.shared_before(layers.end..config.layers.len()).contains(&layer);
    Place { layer, cache, kept }
}

/// The pass is of another back end: a mistake in this program.
fn foreign_pass() -> candle_core::Error {
    candle_core::Error::msg("the pass is not one of this stage")
}

impl Backend for Reference {
    fn kinds(&self) -> &[UnitKind] {
        self.units.kinds()
    }

    fn open(&mut self, session: SessionKey, capacity: usize) {
        self.caches.open(session, capacity);
        self.recurrences.open(session);
    }

    fn close(&mut self, session: SessionKey) {
        self.caches.close(session);
        self.recurrences.close(session);
    }

    fn clear(&mut self) {
        self.caches.clear();
        self.recurrences.clear();
    }

    fn positions(&self, session: SessionKey, length: usize) -> Positions {
        let cached = self.caches.first_position(session)..=length;
        match self.recurrences.positions(session) {
            None => Positions::Range(cached),
            Some(mut kept) => {
                kept.retain(|position| cached.contains(position));
                Positions::Kept(kept)
            }
        }
    }

    fn reuse(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) {
        // The next step overwrites the caches' rows after the kept tokens.
        self.caches.reuse(from, to, capacity);
        self.recurrences.reuse(from, to, keep);
    }

    fn fork(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> Result<(), ForwardError> {
        self.caches.fork(from, to, capacity, keep)?;
        self.recurrences.fork(from, to, keep);
        Ok(())
    }

    fn trim(&mut self, session: SessionKey, length: usize) -> Result<(), ForwardError> {
        Ok(self.caches.trim(session, length)?)
    }

    fn units(&self, spans: &[Span]) -> Vec<Unit> {
        self.units.of(spans)
    }

    fn begin(&self, spans: &[Span], input: Input<'_>) -> Result<PassState, ForwardError> {
        let dtype = convert::dtype(self.compute);
        let (hidden, of_layers, kept) = match (input, &self.embedding) {
            (Input::Tokens(ids), Some(table)) => {
                let rows = table.lookup(ids, &self.device, dtype)?;
                let hidden = match self.config.scales.embedding {
                    1.0 => rows,
                    scale => (rows * f64::from(scale))?,
                };
                let rows = self.rows.as_ref().map(|rows| rows.of(ids, &hidden, &self.device, dtype)).transpose()?;
                (hidden, rows, Kept::new())
            }
            (Input::Hidden(activations), _) => {
                self.incoming(&convert::to_tensor(&activations, &self.device, dtype)?)?
            }
            (Input::Tokens(_), None) => return Err(foreign_pass().into()),
        };
        let positions: Vec<usize> = spans.iter().flat_map(|span| span.position..span.position + span.tokens).collect();
        let angles = self.ropes.angles(&positions, &self.device, dtype)?;
        let rows = positions.len();
        Ok(Box::new(Carried { rows, angles, masks: Masks::default(), hidden, of_layers, kept, inner: None }))
    }

    fn advance(
        &mut self,
        spans: &[Span],
        state: &mut PassState,
        units: Range<usize>,
        threads: Threads,
    ) -> Result<Option<Output>, ForwardError> {
        let pass: &mut Carried = state.downcast_mut().ok_or_else(foreign_pass)?;
        let output = match self.device.is_cpu() {
            true => threads.run(pass.rows, || self.compute(spans, pass, units))?,
            false => {
                let output = self.compute(spans, pass, units)?;
                self.device.synchronize()?;
                output
            }
        };
        if output.is_some() {
            for span in spans {
                self.recurrences.commit(span.session, span.position + span.tokens)?;
            }
        }
        Ok(output)
    }

    fn entering(&self, state: &PassState, unit: usize) -> Result<Option<(usize, Vec<f32>)>, ForwardError> {
        let (layer, part) = (unit / LAYER.len(), LAYER[unit % LAYER.len()]);
        let layer = match self.blocks.get(layer) {
            Some(_) if part == LayerUnit::Mixer => self.layers.start + layer,
            None if self.head.is_some() => self.config.layers.len(),
            _ => return Ok(None),
        };
        let hidden = &self.carried(state)?.hidden;
        Ok(Some((layer, hidden.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)))
    }
}

impl Head {
    /// Candidates after the last token of each span that wants them. hidden `// (rows, hidden_size)`
    fn candidates(&self, hidden: &Tensor, spans: &[Span]) -> candle_core::Result<Vec<Candidates>> {
        let mut end = 0;
        let (mut wanted, mut requests) = (Vec::new(), Vec::new());
        for span in spans {
            end += span.tokens;
            if let Some(request) = &span.want {
                wanted.push(end as u32 - 1);
                requests.push(request);
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = match wanted.len() == hidden.dim(0)? {
            true => hidden.clone(),
            false => hidden.index_select(&Tensor::new(wanted, hidden.device())?, 0)?,
        };
        let logits = self.matrix.forward(&self.norm.forward(&rows)?)?;
        let mut logits: Vec<Vec<f32>> = logits.to_dtype(DType::F32)?.to_vec2()?;
        let Scales { logit_divisor, logit_cap, .. } = self.scales;
        if logit_divisor != 1.0 {
            logits.iter_mut().flatten().for_each(|logit| *logit /= logit_divisor);
        }
        if let Some(cap) = logit_cap {
            logits.iter_mut().flatten().for_each(|logit| *logit = cap * (*logit / cap).tanh());
        }
        Ok(logits.iter().zip(requests).map(|(row, request)| candidates(row, request)).collect())
    }
}

impl From<candle_core::Error> for LoadError {
    fn from(error: candle_core::Error) -> Self {
        LoadError::Backend(Box::new(error))
    }
}

impl From<candle_core::Error> for ForwardError {
    fn from(error: candle_core::Error) -> Self {
        ForwardError::Backend(Box::new(error))
    }
}
