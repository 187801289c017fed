//! Loading weights into the GPU's memory.

use super::driver::{Element, Gpu, GpuError, Memory};
use super::planes;
use crate::LoadError;
use crate::reference::rope;
use crate::reference::weights::{Host, Loader, Part, Rotated};
use gogrid_model::{
    Activation, AttentionSpec, DenseSpec, FeedForward, Mixer, ModelConfig, PositionScale, QkNorm, WeightType, tensors,
};
use rayon::prelude::*;
use std::sync::Arc;

/// Bytes that are laid out and brought to the GPU at a time.
const PIECE: usize = 64 << 20;

impl From<GpuError> for LoadError {
    fn from(error: GpuError) -> Self {
        LoadError::Backend(Box::new(error))
    }
}

/// A matrix `// (rows, columns)`.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    pub(super) memory: Arc<Memory>,
    pub(super) of: WeightType,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Bytes from one row to the next.
    pub(super) stride: usize,
}

impl Matrix {
    pub(super) fn load(gpu: &Gpu, host: &Host) -> Result<Self, LoadError> {
        let Host { held, rows, columns, .. } = *host;
        let stride = planes::stride(held, columns).unwrap_or(0);
        let row_bytes = held.bytes_of(&[columns]).unwrap_or(0) as usize;
        let memory = gpu.allocate(rows * stride)?;
        let at_once = (PIECE / stride.max(1)).max(1);
        let mut piece = vec![0u8; at_once.min(rows) * stride];
        for (at, bytes) in host.bytes().chunks(at_once * row_bytes).enumerate() {
            let piece = &mut piece[..bytes.len() / row_bytes * stride];
            piece.par_chunks_exact_mut(stride).zip(bytes.par_chunks_exact(row_bytes)).for_each(|(to, row)| {
                planes::lay_out(held, row, to);
            });
            gpu.write(&memory, at * at_once * stride, piece)?;
        }
        Ok(Matrix { memory: Arc::new(memory), of: held, rows, columns, stride })
    }

    /// The type of a product of many rows with it: quantized weights are widened to f16.
    pub(super) fn element(&self) -> Element {
        match self.of {
            WeightType::F32 => Element::F32,
            WeightType::Bf16 => Element::Bf16,
            _ => Element::F16,
        }
    }
}

/// A vector of f32, if there is one.
#[derive(Debug, Default)]
pub(super) struct Vector(Option<Memory>);

impl Vector {
    pub(super) fn load(gpu: &Gpu, values: &[f32]) -> Result<Self, LoadError> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let memory = gpu.allocate(bytes.len())?;
        gpu.write(&memory, 0, bytes)?;
        Ok(Vector(Some(memory)))
    }

    /// Where it begins; 0 if there is none.
    pub(super) fn at(&self) -> u64 {
        self.0.as_ref().map_or(0, Memory::at)
    }
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) norms: [Vector; 2],
    pub(super) attention: Attention,
    pub(super) network: Network,
}

/// Its attention.
#[derive(Debug)]
pub(super) struct Attention {
    /// Matrices of one type each, one above the other.
    pub(super) qkv: Vec<Matrix>,
    pub(super) bias: Vector,
    pub(super) q_norm: Vector,
    pub(super) k_norm: Vector,
    /// Radians per position.
    pub(super) frequencies: Vector,
    pub(super) rotated: usize,
    pub(super) magnitude: f32,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) dim: usize,
    pub(super) window: Option<usize>,
    pub(super) scale: f32,
    pub(super) position_scale: Option<PositionScale>,
    pub(super) o: Matrix,
    pub(super) o_bias: Vector,
}

/// Its feed-forward network.
#[derive(Debug)]
pub(super) struct Network {
    /// Gate above up.
    pub(super) gate_up: Matrix,
    pub(super) bias: Vector,
    pub(super) down: Matrix,
    pub(super) down_bias: Vector,
    pub(super) gelu: bool,
}

impl Layer {
    pub(super) fn load(gpu: &Gpu, loader: &Loader<'_>, layer: usize) -> Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, part);
        let norm = |part: &str| Vector::load(gpu, &loader.norm_numbers(&name(part))?);
        let spec = &loader.config().layers[layer];
        let (Mixer::Attention(attention), FeedForward::Dense(dense)) = (&spec.mixer, &spec.feed_forward) else {
            return Err(LoadError::Missing { name: name("a kernel") });
        };
        Ok(Layer {
            norms: [norm("input_layernorm.weight")?, norm("post_attention_layernorm.weight")?],
            attention: Attention::load(gpu, loader, attention, layer)?,
            network: Network::load(gpu, loader, dense, layer)?,
        })
    }
}

impl Attention {
    fn load(gpu: &Gpu, loader: &Loader<'_>, spec: &AttentionSpec, layer: usize) -> Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("self_attn.{part}"));
        let (q, k, v, o, qkv) = (name("q_proj"), name("k_proj"), name("v_proj"), name("o_proj"), name("qkv_proj"));
        let interleaved = |heads: usize| {
            let rope = spec.rope.as_ref().filter(|rope| rope.interleaved)?;
            Some(Rotated { heads, before: 0, elements: rope.rotated_of(spec.head_dim) })
        };
        let parts = match spec.fused {
            true => vec![Part::new(&qkv, spec.qkv_bias)],
            false => vec![
                Part { interleaved: interleaved(spec.heads), ..Part::new(&q, spec.qkv_bias) },
                Part { interleaved: interleaved(spec.kv_heads), ..Part::new(&k, spec.qkv_bias) },
                Part::new(&v, spec.qkv_bias),
            ],
        };
        let (qkv, bias) = stacked(gpu, loader, &parts)?;
        let (o, o_bias) = one(gpu, loader, &Part::new(&o, spec.o_bias))?;
        let norm = |part: &str| match spec.qk_norm {
            QkNorm::Head => Vector::load(gpu, &loader.norm_numbers(&name(part))?),
            _ => Ok(Vector::default()),
        };
        let (radians, magnitude) = spec.rope.as_ref().map_or((Vec::new(), 1.0), |of| rope::radians(of, spec.head_dim));
        Ok(Attention {
            qkv,
            bias,
            q_norm: norm("q_norm.weight")?,
            k_norm: norm("k_norm.weight")?,
            rotated: 2 * radians.len(),
            frequencies: Vector::load(gpu, &radians)?,
            magnitude,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            dim: spec.head_dim,
            window: spec.window,
            scale: spec.scale.unwrap_or(1.0 / (spec.head_dim as f32).sqrt()),
            position_scale: spec.position_scale,
            o,
            o_bias,
        })
    }

    /// Elements of a row of queries, keys and values.
    pub(super) fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.dim
    }
}

impl Network {
    fn load(gpu: &Gpu, loader: &Loader<'_>, spec: &DenseSpec, layer: usize) -> Result<Self, LoadError> {
        let name = |part: &str| tensors::layer_tensor(layer, &format!("mlp.{part}_proj"));
        let (gate, up, fused, down) = (name("gate"), name("up"), name("gate_up"), name("down"));
        let parts = match spec.fused {
            true => vec![Part::new(&fused, spec.bias)],
            false => vec![Part::new(&gate, spec.bias), Part::new(&up, spec.bias)],
        };
        let (mut gate_up, bias) = stacked(gpu, loader, &parts)?;
        let (down, down_bias) = one(gpu, loader, &Part::new(&down, spec.bias))?;
        let gate_up = gate_up.pop().ok_or(LoadError::Missing { name: gate })?;
        Ok(Network { gate_up, bias, down, down_bias, gelu: spec.activation == Activation::GeluTanh })
    }
}

/// Matrices one above the other, neighbours of one type as one, and the bias of all of them.
fn stacked(gpu: &Gpu, loader: &Loader<'_>, parts: &[Part<'_>]) -> Result<(Vec<Matrix>, Vector), LoadError> {
    let hosts = loader.host(parts)?;
    let matrices = hosts.iter().map(|host| Matrix::load(gpu, host)).collect::<Result<_, _>>()?;
    let bias = match parts.iter().any(|part| part.bias) {
        true => {
            let all: Vec<f32> = hosts.iter().flat_map(|host| host.bias.iter().copied()).collect();
            Vector::load(gpu, &all)?
        }
        false => Vector::default(),
    };
    Ok((matrices, bias))
}

fn one(gpu: &Gpu, loader: &Loader<'_>, part: &Part<'_>) -> Result<(Matrix, Vector), LoadError> {
    let (mut matrices, bias) = stacked(gpu, loader, std::slice::from_ref(part))?;
    let matrix = matrices.pop().ok_or_else(|| LoadError::Missing { name: part.name.to_owned() })?;
    Ok((matrix, bias))
}

/// The embedding table and the head: its norm and matrix.
pub(super) type Ends = (Option<Matrix>, Option<(Vector, Matrix)>);

pub(super) fn ends(
    gpu: &Gpu,
    loader: &Loader<'_>,
    config: &ModelConfig,
    embedding: bool,
    head: bool,
) -> Result<Ends, LoadError> {
    let (table, matrix) = loader.host_ends(embedding, head)?;
    let table = table.map(|host| Matrix::load(gpu, &host)).transpose()?;
    let shares = head && matrix.is_none();
    let matrix = match matrix {
        Some(host) => Some(Matrix::load(gpu, &host)?),
        None => table.clone().filter(|_| shares && config.tied_embeddings),
    };
    let head = match matrix {
        Some(matrix) => Some((Vector::load(gpu, &loader.norm_numbers(tensors::FINAL_NORM)?)?, matrix)),
        None => None,
    };
    Ok((table, head))
}
