//! How fast a whole model is in one process, on weights that are made for the occasion: random blocks of any type, in the
//! shape of a Llama. They are as fast as trained ones, and no file is read.

use crate::{DeviceError, ForwardError, LoadError, Stage, StageOptions, StateError};
use gogrid_model::{
    CandidateRequest, ConfigError, DeviceSpec, FloatType, Input, Layers, Manifest, ModelConfig, Output, Quant,
    SessionKey, Span, TensorEntry, TensorError, TensorHash, TensorSource, WeightType, tensors,
};
use half::f16;
use rayon::prelude::*;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A Llama's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Inner width of feed-forward networks.
    pub inner: usize,
    /// Token ids.
    pub vocabulary: usize,
}

/// The shapes that are measured: a small one for CPUs, half a billion parameters, TinyLlama's and Llama 3's.
pub const SHAPES: [Shape; 4] = [
    Shape { name: "30m", hidden: 512, layers: 6, heads: 8, kv_heads: 4, inner: 1536, vocabulary: 8192 },
    Shape { name: "0.5b", hidden: 1024, layers: 24, heads: 16, kv_heads: 8, inner: 4096, vocabulary: 32_000 },
    Shape { name: "1.1b", hidden: 2048, layers: 22, heads: 32, kv_heads: 4, inner: 5632, vocabulary: 32_000 },
    Shape { name: "8b", hidden: 4096, layers: 32, heads: 32, kv_heads: 8, inner: 14_336, vocabulary: 128_256 },
];

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Sequences of a decode step.
    pub batch: usize,
    /// Tokens of each sequence before the first timed step.
    pub context: usize,
    /// Decode steps.
    pub steps: usize,
    /// The most tokens of a prompt in a step.
    pub chunk: usize,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Tokens of prompts a second.
    pub prefill: f64,
    /// Tokens a second of all sequences, from the median step.
    pub decode: f64,
    /// The median decode step.
    pub step: Duration,
    /// Bytes that a decode step reads at least: weights, and keys and values in the middle of the timed steps.
    pub bytes: f64,
    /// Kernels launched in a decode step; `None` where they are not counted.
    pub launches: Option<f64>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The shape.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The stage.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A sequence.
    #[error(transparent)]
    State(#[from] StateError),
    /// A step.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A model of one shape, loaded.
#[derive(Debug)]
pub struct Engine {
    stage: Stage,
    shape: Shape,
    /// Bytes of all weights but the embedding table.
    read: u64,
}

/// Makes tensors of random numbers. The same tensor is the same each time.
struct Random;

impl TensorSource for Random {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        let mut bytes = vec![0u8; entry.bytes as usize];
        if entry.shape.len() == 1 {
            bytes.chunks_exact_mut(4).for_each(|one| one.copy_from_slice(&1f32.to_le_bytes()));
            return Ok(Cow::Owned(bytes));
        }
        let block = entry.dtype.block_bytes();
        let seed = entry
            .name
            .bytes()
            .fold(0x9e37_79b9_7f4a_7c15u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let piece = block * 4096;
        bytes.par_chunks_mut(piece).enumerate().for_each(|(at, piece)| {
            let mut state = seed ^ (at as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95);
            piece.chunks_exact_mut(block).for_each(|block| fill(entry.dtype, block, &mut state));
        });
        Ok(Cow::Owned(bytes))
    }
}

/// The standard deviation of weights at the start of training.
const SPREAD: f32 = 0.02;

/// One block of random numbers, whose spread is about [`SPREAD`].
fn fill(of: WeightType, block: &mut [u8], state: &mut u64) {
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    };
    let uniform = |bits: u64| ((bits >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * SPREAD * 1.7;
    for bytes in block.chunks_mut(8) {
        let random = next().to_le_bytes();
        bytes.copy_from_slice(&random[..bytes.len()]);
    }
    let mut scale = |at: usize, value: f32| block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
    match of {
        WeightType::F32 => block.copy_from_slice(&uniform(next()).to_le_bytes()),
        WeightType::F16 => block.copy_from_slice(&f16::from_f32(uniform(next())).to_le_bytes()),
        WeightType::Bf16 => block.copy_from_slice(&half::bf16::from_f32(uniform(next())).to_le_bytes()),
        WeightType::Q8_0 => scale(0, SPREAD / 74.0),
        WeightType::Q4_0 | WeightType::Q5_0 => scale(0, SPREAD / 4.6),
        WeightType::Q4_1 | WeightType::Q5_1 => {
            scale(0, SPREAD / 4.6);
            scale(2, -1.6 * SPREAD);
        }
        // Numbers of 4 or 5 bits times scales of 6 bits, less minima of 6 bits.
        WeightType::Q4K | WeightType::Q5K => {
            let most = if of == WeightType::Q4K { 15.0 } else { 31.0 };
            scale(0, SPREAD / (0.3 * most * 32.0));
            scale(2, SPREAD / (0.3 * most * 32.0) * most / 2.0);
        }
        WeightType::Q6K => scale(208, SPREAD / (18.5 * 74.0)),
        _ => {}
    }
}

impl Shape {
    fn manifest(&self, of: WeightType, context: usize) -> Result<Manifest, ConfigError> {
        let config = ModelConfig::from_hf(
            &serde_json::json!({
                "architectures": ["LlamaForCausalLM"], "hidden_size": self.hidden, "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
                "intermediate_size": self.inner, "vocab_size": self.vocabulary, "max_position_embeddings": context,
                "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
            }),
            None,
        )?;
        let table = if of.is_quantized() { WeightType::Bf16 } else { of };
        let entry = |tensor: tensors::Expected| {
            let dtype = match tensor.role {
                tensors::Role::Vector | tensors::Role::Float => WeightType::F32,
                tensors::Role::Embedding => table,
                _ => of,
            };
            let bytes = dtype.bytes_of(&tensor.shape).unwrap_or(0);
            TensorEntry { name: tensor.name, dtype, shape: tensor.shape, bytes, hash: TensorHash::of(&[]) }
        };
        let tensors = tensors::of_stage(&config, Layers::all(self.layers)).into_iter().map(entry).collect();
        Ok(Manifest { config, tensors })
    }
}

impl Engine {
    /// Makes and loads a model of this shape with weights of that type, for sequences of up to `context` tokens.
    ///
    /// # Errors
    /// The device does not hold it, or the type does not fit the shape.
    pub fn load(
        shape: Shape,
        of: WeightType,
        device: DeviceSpec,
        context: usize,
        chunk: usize,
    ) -> Result<Self, BenchError> {
        let manifest = shape.manifest(of, context)?;
        let options =
            StageOptions { quant: Quant::None, device, kv_budget: u64::MAX, chunk, activations: FloatType::F32 };
        let stage = Stage::load(&manifest, Layers::all(shape.layers), &Random, &options)?;
        let read =
            manifest.tensors.iter().filter(|entry| entry.name != tensors::EMBEDDING).map(|entry| entry.bytes).sum();
        Ok(Engine { stage, shape, read })
    }

    /// Bytes of the weights in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.stage.weight_bytes()
    }

    /// Takes prompts in, then decodes greedily.
    ///
    /// # Errors
    /// The sequences do not fit, or the device fails.
    pub fn run(&mut self, work: Work) -> Result<Found, BenchError> {
        let Work { batch, context, steps, chunk } = work;
        let capacity = context + steps;
        (0..batch).try_for_each(|at| self.stage.open(SessionKey(at as u64), capacity))?;
        let want = || Some(CandidateRequest { top: 1, ..CandidateRequest::default() });
        let prompt: Vec<u32> =
            (0..context as u32).map(|at| at.wrapping_mul(2_654_435_761) % self.shape.vocabulary as u32).collect();
        let mut next = Vec::with_capacity(batch);
        let start = Instant::now();
        for at in 0..batch {
            let mut position = 0;
            for tokens in prompt.chunks(chunk) {
                let want = (position + tokens.len() == context).then(want).flatten();
                let span = Span { session: SessionKey(at as u64), position, tokens: tokens.len(), want };
                if let Some(token) = best(&self.stage.forward(&[span], Input::Tokens(tokens))?).first() {
                    next.push(*token);
                }
                position += tokens.len();
            }
        }
        let prefill = (batch * context) as f64 / start.elapsed().as_secs_f64();
        let mut times = Vec::with_capacity(steps);
        let before = self.stage.launches();
        for step in 0..steps {
            let span =
                |at: usize| Span { session: SessionKey(at as u64), position: context + step, tokens: 1, want: want() };
            let spans: Vec<Span> = (0..batch).map(span).collect();
            let start = Instant::now();
            next = best(&self.stage.forward(&spans, Input::Tokens(&next))?);
            times.push(start.elapsed());
        }
        let launched =
            self.stage.launches().zip(before).map(|(after, before)| (after - before) as f64 / steps.max(1) as f64);
        let kv = self.stage.kv_bytes(capacity) as f64 / capacity as f64 * (context + steps / 2) as f64;
        self.stage.close_all();
        times.sort_unstable();
        let step = times.get(times.len() / 2).copied().unwrap_or_default();
        Ok(Found {
            prefill,
            decode: batch as f64 / step.as_secs_f64(),
            step,
            bytes: self.read as f64 + batch as f64 * kv,
            launches: launched,
        })
    }
}

/// The most likely token of each row.
fn best(output: &Output) -> Vec<u32> {
    match output {
        Output::Candidates(rows) => rows.iter().filter_map(|row| row.ids.first().copied()).collect(),
        Output::Hidden(_) => Vec::new(),
    }
}

/// Bytes of the copy that measures a device's memory.
const COPIED: usize = 1 << 30;
/// Copies, of which the fastest counts.
const COPIES: usize = 8;

/// Bytes a second that the device's memory moves while it is copied, read and written ones together.
///
/// # Errors
/// The device does not open.
pub fn copy_bandwidth(device: DeviceSpec) -> Result<f64, BenchError> {
    let best = |mut copy: Box<dyn FnMut() -> Result<usize, BenchError>>| {
        let mut most = 0f64;
        for _ in 0..COPIES {
            let start = Instant::now();
            let bytes = copy()?;
            most = most.max(2.0 * bytes as f64 / start.elapsed().as_secs_f64());
        }
        Ok(most)
    };
    match device {
        #[cfg(feature = "cuda")]
        DeviceSpec::Cuda(index) => best(crate::cuda::copier(index, 16 * COPIED)?),
        _ => {
            let from = vec![1u8; COPIED];
            let mut to = vec![0u8; COPIED];
            best(Box::new(move || {
                let piece = COPIED / 64;
                to.par_chunks_mut(piece).zip(from.par_chunks(piece)).for_each(|(to, from)| to.copy_from_slice(from));
                Ok(COPIED)
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_model_of_every_type_is_timed_on_a_cpu() {
        let shape = Shape { name: "tiny", hidden: 256, layers: 2, heads: 4, kv_heads: 2, inner: 256, vocabulary: 300 };
        for of in [WeightType::F32, WeightType::Bf16, WeightType::Q8_0, WeightType::Q4K, WeightType::Q6K] {
            let mut engine = Engine::load(shape, of, DeviceSpec::Cpu, 64, 16).unwrap();
            let found = engine.run(Work { batch: 2, context: 20, steps: 3, chunk: 16 }).unwrap();
            assert!(found.prefill > 0.0 && found.decode > 0.0 && found.step > Duration::ZERO, "{of}");
            assert!(found.bytes > shape.manifest(of, 64).unwrap().tensors[2].bytes as f64, "{of}");
        }
    }

    #[test]
    fn random_weights_are_numbers_of_the_usual_spread() {
        use candle_core::Device;
        use candle_core::quantized::{QStorage, QTensor};
        for of in [WeightType::Q8_0, WeightType::Q4_0, WeightType::Q4K, WeightType::Q5K, WeightType::Q6K] {
            let shape = vec![64, 256];
            let bytes = of.bytes_of(&shape).unwrap();
            let entry = TensorEntry { name: "w".into(), dtype: of, shape, bytes, hash: TensorHash::of(&[]) };
            let bytes = Random.tensor(&entry).unwrap().into_owned();
            let words: Vec<u32> =
                bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
            let storage = QStorage::from_data(
                Cow::Borrowed(bytemuck::cast_slice(&words)),
                &Device::Cpu,
                crate::reference::ggml(of).unwrap(),
            )
            .unwrap();
            let values: Vec<f32> = QTensor::new(storage, (64, 256))
                .unwrap()
                .dequantize(&Device::Cpu)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            let spread = (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt();
            assert!((0.3 * SPREAD..3.0 * SPREAD).contains(&spread), "{of}: {spread}");
        }
    }
}
