//! The stage itself: what of it is in the GPU's memory, and which units of a step are launched or replayed.

use super::compute::{Launcher, Shape};
use super::driver::{Gpu, GpuError, Graph};
use super::kernels::{self, FOUND_WORDS};
use super::sessions::{LayerShape, Sessions};
use super::step::Step;
use super::weights::{self, Ends, Layer};
use super::workspace::{Widths, Workspace};
use crate::backend::{Backend, PassState, Unit, UnitKind};
use crate::bench::BenchError;
use crate::reference::units::{LAYER, Units};
use crate::reference::weights::Loader;
use crate::{ForwardError, LoadError, Positions, StageOptions, Threads};
use candle_core::Device;
use gogrid_model::{
    Activations, CandidateRequest, Candidates, FloatType, Footprint, Input, LayerState, Layers, Manifest, ModelConfig,
    Output, SequenceSizes, SessionKey, Span, TensorSource, candidates,
};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

/// Numbers of rows for which graphs are captured. A step of fewer rows is padded.
const BUCKETS: [usize; 9] = [1, 2, 4, 8, 12, 16, 24, 32, 64];
/// Graphs that are kept at most. Slices adapt to what is measured, so that units come in changing ranges.
const MOST_GRAPHS: usize = 64;

/// What a graph is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GraphKey {
    rows: usize,
    wanted: usize,
    units: (usize, usize),
}

/// One stage on an NVIDIA GPU.
pub(crate) struct Cuda {
    config: ModelConfig,
    first_layer: usize,
    activations: FloatType,
    // Before `gpu`, so that memory is freed before the driver is left.
    graphs: HashMap<GraphKey, Graph>,
    layers: Vec<Layer>,
    ends: Ends,
    sessions: Sessions,
    space: Workspace,
    widths: Widths,
    gpu: Gpu,
    units: Units,
    kinds: Vec<UnitKind>,
    /// The pass whose residual stream the buffers hold.
    current: Cell<u64>,
    passes: Cell<u64>,
}

/// What a pass carries: its number, and the step as kernels read it.
struct Carried {
    number: u64,
    step: Step,
    shape: Shape,
    /// The input, until the first unit is computed.
    input: Option<Source>,
}

/// What a pass begins with.
enum Source {
    Tokens(Vec<u32>),
    /// f32 rows.
    Hidden(Vec<f32>),
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda").field("gpu", &self.gpu).field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl From<GpuError> for ForwardError {
    fn from(error: GpuError) -> Self {
        ForwardError::Backend(Box::new(error))
    }
}

impl Cuda {
    /// Loads the weights of these layers onto a GPU. The manifest is that of the stage.
    pub(crate) fn load(
        manifest: &Manifest,
        layers: Layers,
        source: &dyn TensorSource,
        options: &StageOptions,
        footprint: &Footprint,
        index: usize,
    ) -> Result<Self, LoadError> {
        let gpu = Gpu::open(index)?;
        let compute = footprint.compute_type(manifest, layers, options.quant);
        let config = manifest.config.clone();
        let loader = Loader { manifest, source, quant: options.quant, compute, device: &Device::Cpu };
        let has_head = layers.has_head(config.layers.len());
        let ends = weights::ends(&gpu, &loader, &config, layers.has_embedding(), has_head)?;
        let stage = layers.range().map(|layer| Layer::load(&gpu, &loader, layer)).collect::<Result<Vec<_>, _>>()?;
        let widths = Widths::new(&config, &stage, has_head, is_quantized(&stage));
        let space = Workspace::new(&gpu, &widths, 0, 0)?;
        let of_layers = stage.iter().map(|Layer { attention, .. }| LayerShape {
            kv_heads: attention.kv_heads,
            dim: attention.dim,
            window: attention.window,
        });
        let of_layers = of_layers.collect();
        let sessions = Sessions::new(&gpu, sizes(&config, layers, options.chunk), of_layers)?;
        let units = Units::new(manifest, layers, options.quant, footprint);
        let kinds = kinds(&units);
        gpu.finish()?;
        Ok(Cuda {
            config,
            first_layer: layers.start,
            activations: options.activations,
            graphs: HashMap::new(),
            layers: stage,
            ends,
            sessions,
            space,
            widths,
            gpu,
            units,
            kinds,
            current: Cell::new(0),
            passes: Cell::new(0),
        })
    }

    fn launcher(&self) -> Launcher<'_> {
        Launcher {
            gpu: &self.gpu,
            space: &self.space,
            eps: self.config.norm_eps as f32,
            scales: self.config.scales,
            caches: self.sessions.table(),
            layers: self.layers.len(),
            hidden: self.config.hidden_size,
        }
    }

    /// Changes the sequences. Graphs hold the address of their table, and are dropped where it has become too small.
    fn keeping_graphs<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> T {
        let table = self.sessions.table();
        let result = change(self);
        if self.sessions.table() != table {
            self.graphs.clear();
        }
        result
    }

    /// Makes room for a step, and brings it and its input to the GPU.
    fn take_in(&mut self, spans: &[Span], pass: &mut Carried) -> Result<(), GpuError> {
        let Some(input) = pass.input.take() else { return Ok(()) };
        let rows: usize = spans.iter().map(|span| span.tokens).sum();
        let padded = pass.shape.rows;
        if padded > self.space.places.rows || pass.shape.wanted > self.space.wanted {
            let (rows, wanted) = (padded.max(self.space.places.rows), pass.shape.wanted.max(self.space.wanted));
            self.graphs.clear();
            self.space = Workspace::new(&self.gpu, &self.widths, rows, wanted)?;
        }
        let slots = spans.iter().map(|span| self.sessions.place(span.session)).collect::<Result<Vec<_>, _>>()?;
        let tokens: &[u32] = if let Source::Tokens(tokens) = &input { tokens } else { &[] };
        let (places, head) = (self.space.places, self.ends.1.is_some());
        pass.step = Step::new(places, padded, spans, &slots, tokens, self.config.vocab_size, head);
        pass.shape.tiles = pass.step.tiles;
        self.gpu.write(&self.space.step, 0, bytemuck::cast_slice(&pass.step.words))?;
        match (&input, &self.ends.0) {
            (Source::Tokens(_), Some(table)) => {
                let ids = self.space.step_at(places.tokens());
                self.launcher().embed(table, ids, self.space.x.at(), padded)?;
            }
            (Source::Hidden(hidden), _) => self.gpu.write(&self.space.x, 0, bytemuck::cast_slice(hidden))?,
            (Source::Tokens(_), None) => return Err(GpuError::OtherStep),
        }
        debug_assert_eq!(rows, pass.step.rows);
        self.current.set(pass.number);
        Ok(())
    }

    fn launch(&self, shape: Shape, units: Range<usize>) -> Result<(), GpuError> {
        let launcher = self.launcher();
        for unit in units {
            match (self.layers.get(unit), &self.ends.1) {
                (Some(layer), _) => launcher.layer(shape, unit, layer)?,
                (None, Some((norm, matrix))) => launcher.head(shape, norm, matrix)?,
                (None, None) => return Err(GpuError::OtherStep),
            }
        }
        Ok(())
    }

    fn compute(&mut self, spans: &[Span], pass: &mut Carried, units: Range<usize>) -> Result<Option<Output>, GpuError> {
        self.take_in(spans, pass)?;
        if self.current.get() != pass.number {
            return Err(GpuError::OtherStep);
        }
        for span in spans {
            self.sessions.write_to(span.session, span.position + span.tokens);
        }
        let last = units.end == self.layers.len() + usize::from(self.ends.1.is_some());
        let shape = pass.shape;
        if !units.is_empty() {
            match shape.decodes && BUCKETS.contains(&shape.rows) {
                true => {
                    let key = GraphKey { rows: shape.rows, wanted: shape.wanted, units: (units.start, units.end) };
                    if !self.graphs.contains_key(&key) {
                        if self.graphs.len() == MOST_GRAPHS {
                            self.graphs.clear();
                        }
                        let graph = self.gpu.capture(|| self.launch(shape, units))?;
                        self.graphs.insert(key, graph);
                    }
                    if let Some(graph) = self.graphs.get(&key) {
                        self.gpu.replay(graph)?;
                    }
                }
                false => self.launch(shape, units)?,
            }
        }
        self.gpu.finish()?;
        match (last, self.ends.1.is_some()) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(Output::Candidates(self.candidates(spans, pass)?))),
            (true, false) => {
                let hidden = self.residual(pass.step.rows)?;
                Ok(Some(Output::Hidden(Activations::from_f32(&hidden, self.config.hidden_size, self.activations))))
            }
        }
    }

    /// The rows of these tokens, without a step.
    fn embedded(&self, tokens: &[u32]) -> Result<Vec<f32>, GpuError> {
        let Some(table) = &self.ends.0 else { return Err(GpuError::OtherStep) };
        let (ids, x) = (self.gpu.allocate(4 * tokens.len())?, self.gpu.zeros(4 * tokens.len() * table.columns)?);
        self.gpu.write(&ids, 0, bytemuck::cast_slice(tokens))?;
        self.launcher().embed(table, ids.at(), x.at(), tokens.len())?;
        let mut rows = vec![0f32; tokens.len() * table.columns];
        self.gpu.read(&x, 0, bytemuck::cast_slice_mut(&mut rows))?;
        Ok(rows)
    }

    /// The residual stream's first rows.
    fn residual(&self, rows: usize) -> Result<Vec<f32>, GpuError> {
        let mut hidden = vec![0f32; rows * self.config.hidden_size];
        self.gpu.read(&self.space.x, 0, bytemuck::cast_slice_mut(&mut hidden))?;
        Ok(hidden)
    }

    /// What the head found.
    fn candidates(&self, spans: &[Span], pass: &Carried) -> Result<Vec<Candidates>, GpuError> {
        let requests: Vec<&CandidateRequest> = spans.iter().filter_map(|span| span.want.as_ref()).collect();
        let (Some(found), Some(also_logits)) = (&self.space.found, &self.space.also_logits) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::with_capacity(requests.len());
        for (row, request) in requests.into_iter().enumerate() {
            let of_row = row * FOUND_WORDS;
            let head = found.words(of_row, 2);
            let count = head[1] as i32;
            // Kernels know nothing of tokens that are not allowed.
            if !pass.step.found_on_device || count < 0 || request.allowed.is_some() {
                all.push(candidates(&self.logits(row)?, request));
                continue;
            }
            let count = count as usize;
            let mut ids = found.words(of_row + 2, count);
            let logits = found.words(of_row + 2 + kernels::MOST_TOP, count);
            let mut logits: Vec<f32> = logits.into_iter().map(f32::from_bits).collect();
            if !request.also.is_empty() {
                let mut known = ids.clone();
                known.sort_unstable();
                let start = pass.step.also_from[row];
                let also = also_logits.words(start, pass.step.also_from[row + 1] - start);
                let inside = request.also.iter().copied().filter(|id| (*id as usize) < self.config.vocab_size);
                for (id, logit) in inside.zip(also) {
                    if known.binary_search(&id).is_err() {
                        ids.push(id);
                        logits.push(f32::from_bits(logit));
                    }
                }
            }
            all.push(Candidates { ids, logits, log_sum_exp: f32::from_bits(head[0]) });
        }
        Ok(all)
    }

    /// All logits of a wanted row.
    fn logits(&self, row: usize) -> Result<Vec<f32>, GpuError> {
        let mut logits = vec![0f32; self.config.vocab_size];
        if let Some(memory) = &self.space.logits {
            self.gpu.read(memory, row * logits.len() * 4, bytemuck::cast_slice_mut(&mut logits))?;
        }
        Ok(logits)
    }
}

/// The kernels of a GPU and what belongs to them, loaded without a stage.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// Never used again: the lock is there so that several threads may hold it.
    _gpu: Mutex<Gpu>,
}

impl Kernels {
    pub(crate) fn load(index: usize) -> candle_core::Result<Self> {
        let gpu = Gpu::open(index).map_err(candle_core::Error::wrap)?;
        Ok(Kernels { _gpu: Mutex::new(gpu) })
    }
}

/// Copies half of that many bytes within a GPU's memory into the other half; gives their number.
pub(crate) fn copier(index: usize, bytes: usize) -> Result<Box<dyn FnMut() -> Result<usize, BenchError>>, BenchError> {
    let failed = |error| BenchError::Forward(ForwardError::from(error));
    let gpu = Gpu::open(index).map_err(failed)?;
    let memory = gpu.zeros(bytes).map_err(failed)?;
    gpu.finish().map_err(failed)?;
    Ok(Box::new(move || {
        gpu.copy(&memory).and_then(|()| gpu.finish()).map_err(failed)?;
        Ok(bytes / 2)
    }))
}

/// Whether a layer has a quantized matrix.
fn is_quantized(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| {
        let Layer { attention, network, .. } = layer;
        let own = [&attention.o, &network.gate_up, &network.down];
        attention.qkv.iter().chain(own).any(|matrix| matrix.of.is_quantized())
    })
}

/// What sequences take in the GPU's memory: f16, whatever is computed in.
fn sizes(config: &ModelConfig, layers: Layers, chunk: usize) -> SequenceSizes {
    SequenceSizes::new(layers.range().map(|layer| LayerState::of(config, layer)), FloatType::F16, chunk.max(1))
}

/// A kind for each kind of layer, and the head's.
fn kinds(units: &Units) -> Vec<UnitKind> {
    let of = units.kinds();
    let layers = of.chunks_exact(LAYER.len()).map(|thirds| UnitKind { name: "layer", ..thirds[0] });
    layers.chain(of.chunks_exact(LAYER.len()).remainder().iter().copied()).collect()
}

impl Backend for Cuda {
    fn kinds(&self) -> &[UnitKind] {
        &self.kinds
    }

    fn open(&mut self, session: SessionKey, capacity: usize) {
        self.keeping_graphs(|stage| stage.sessions.open(&stage.gpu, session, capacity));
    }

    fn close(&mut self, session: SessionKey) {
        self.sessions.close(session);
    }

    fn clear(&mut self) {
        self.sessions.clear();
    }

    fn positions(&self, session: SessionKey, length: usize) -> Positions {
        Positions::Range(self.sessions.first_position(session)..=length)
    }

    fn reuse(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) {
        // The next step overwrites the caches' rows after the kept tokens.
        self.keeping_graphs(|stage| stage.sessions.reuse(&stage.gpu, from, to, capacity, keep));
    }

    fn fork(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> Result<(), ForwardError> {
        Ok(self.keeping_graphs(|stage| stage.sessions.fork(&stage.gpu, from, to, capacity, keep))?)
    }

    fn trim(&mut self, session: SessionKey, length: usize) -> Result<(), ForwardError> {
        Ok(self.keeping_graphs(|stage| stage.sessions.resize(&stage.gpu, session, length, length))?)
    }

    fn units(&self, spans: &[Span]) -> Vec<Unit> {
        let thirds = self.units.of(spans);
        let layers = thirds.chunks_exact(LAYER.len());
        let head = layers.remainder().iter();
        let layer = |thirds: &[Unit]| Unit {
            kind: thirds[0].kind / LAYER.len(),
            cost: thirds.iter().map(|unit| unit.cost).sum(),
        };
        let head: Vec<Unit> = head.map(|unit| Unit { kind: unit.kind / LAYER.len(), cost: unit.cost }).collect();
        layers.map(layer).chain(head).collect()
    }

    fn begin(&self, spans: &[Span], input: Input<'_>) -> Result<PassState, ForwardError> {
        let rows: usize = spans.iter().map(|span| span.tokens).sum();
        let decodes = spans.iter().all(|span| span.tokens == 1);
        let wanted = spans.iter().filter(|span| span.want.is_some() && self.ends.1.is_some()).count();
        let bucket =
            |rows: usize| BUCKETS.into_iter().find(|bucket| *bucket >= rows).filter(|_| decodes).unwrap_or(rows);
        let shape =
            Shape { rows: bucket(rows), wanted: if wanted == 0 { 0 } else { bucket(wanted) }, tiles: 0, decodes };
        let input = match input {
            Input::Tokens(tokens) => Source::Tokens(tokens.to_vec()),
            Input::Hidden(activations) => Source::Hidden(activations.to_f32()),
        };
        self.passes.set(self.passes.get() + 1);
        let step =
            Step { rows, wanted, tiles: 0, decodes, found_on_device: true, also_from: Vec::new(), words: Vec::new() };
        Ok(Box::new(Carried { number: self.passes.get(), step, shape, input: Some(input) }))
    }

    fn advance(
        &mut self,
        spans: &[Span],
        state: &mut PassState,
        units: Range<usize>,
        _threads: Threads,
    ) -> Result<Option<Output>, ForwardError> {
        let pass: &mut Carried = state.downcast_mut().ok_or(GpuError::OtherStep)?;
        Ok(self.compute(spans, pass, units)?)
    }

    fn launches(&self) -> Option<u64> {
        Some(self.gpu.launches())
    }

    fn entering(&self, state: &PassState, unit: usize) -> Result<Option<(usize, Vec<f32>)>, ForwardError> {
        let pass: &Carried = state.downcast_ref().ok_or(GpuError::OtherStep)?;
        let layer = if unit < self.layers.len() { self.first_layer + unit } else { self.config.layers.len() };
        let hidden = match &pass.input {
            Some(Source::Hidden(hidden)) => hidden.clone(),
            Some(Source::Tokens(tokens)) => self.embedded(tokens)?,
            None => self.residual(pass.step.rows)?,
        };
        Ok(Some((layer, hidden)))
    }
}
