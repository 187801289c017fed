//! Loading: from the bytes of a source to matrices in the device's memory, converted or quantized on the way.
//!
//! Nothing is allocated by the word of a manifest alone: its sizes are checked against the model's description, and a
//! tensor's bytes against its entry, before anything is built from them.

mod experts;
#[cfg(feature = "cuda")]
mod host;
mod mxfp4;
mod order;

#[cfg(feature = "cuda")]
pub(crate) use host::Host;
pub(crate) use order::Rotated;
use order::by_kind;

use super::blocks::Blocks;
use super::conv::ShortConv;
use super::convert::{dense, dtype, ggml};
use super::dequantize;
use super::linear::{Linear, Shared, Weight};
use super::norm::Norm;
use crate::LoadError;
use crate::cpu::{self, Matrix as CpuMatrix};
use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};
use gogrid_model::tensors::{self, Role};
use gogrid_model::{
    DeviceKind, FloatType, Manifest, ManifestError, ModelConfig, Quant, TensorEntry, TensorSource, WeightType,
    held_type, tied_table_type,
};
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// Elements that are converted at once by one thread: 1 MiB of f32.
const CONVERT_ELEMENTS: usize = 1 << 18;

/// Loads the weights of one stage.
pub(crate) struct Loader<'a> {
    /// The stage's manifest, validated.
    pub(crate) manifest: &'a Manifest,
    pub(crate) source: &'a dyn TensorSource,
    pub(crate) quant: Quant,
    pub(crate) compute: FloatType,
    pub(crate) device: &'a Device,
}

/// One matrix of a product.
pub(crate) struct Part<'a> {
    /// Its name without `.weight` and `.bias`.
    pub(crate) name: &'a str,
    pub(crate) bias: bool,
    /// Heads whose rows are stored for neighbouring rotation and have to be put in order.
    pub(crate) interleaved: Option<Rotated>,
    /// Rows of each of the matrices that were put on top of one another in the file; empty where it is one.
    pub(crate) fused: &'a [usize],
    /// Where rows of several kinds lie group by group: the groups, and a group's rows of each kind. They are put in order
    /// by kind.
    pub(crate) grouped: Option<(usize, &'a [usize])>,
}

impl<'a> Part<'a> {
    pub(crate) fn new(name: &'a str, bias: bool) -> Self {
        Part { name, bias, interleaved: None, fused: &[], grouped: None }
    }
}

/// A matrix as it is stored, with its rows in the order of the computation.
struct Matrix<'a> {
    entry: &'a TensorEntry,
    rows: usize,
    columns: usize,
    bytes: Cow<'a, [u8]>,
}

impl Loader<'_> {
    pub(crate) fn config(&self) -> &ModelConfig {
        &self.manifest.config
    }

    /// The kind of device, as far as weights are held differently.
    fn kind(&self) -> DeviceKind {
        if self.device.is_cpu() { DeviceKind::Cpu } else { DeviceKind::Cuda }
    }

    /// The type that a tensor is held in.
    fn held(&self, role: Role, entry: &TensorEntry) -> WeightType {
        held_type(role, entry, self.quant, self.compute).on(self.kind())
    }

    fn entry(&self, name: &str) -> Result<&TensorEntry, LoadError> {
        self.manifest.tensor(name).ok_or_else(|| LoadError::Missing { name: name.to_owned() })
    }

    /// The stored bytes, as many as the entry says.
    fn bytes(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, LoadError> {
        let bytes = self.source.tensor(entry)?;
        if bytes.len() as u64 != entry.bytes {
            let (name, found) = (entry.name.clone(), bytes.len() as u64);
            return Err(LoadError::Size { name, found, expected: entry.bytes });
        }
        Ok(bytes)
    }

    /// A norm.
    pub(crate) fn norm(&self, name: &str) -> Result<Norm, LoadError> {
        Ok(Norm { weight: self.vector(self.norm_numbers(name)?)?, eps: self.config().norm_eps as f32 })
    }

    /// What a norm multiplies by.
    pub(crate) fn norm_numbers(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let offset = if self.config().norm_offset { 1.0 } else { 0.0 };
        Ok(self.numbers(name)?.into_iter().map(|weight| weight + offset).collect())
    }

    /// A tensor that is not quantized, as numbers.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let entry = self.entry(name)?;
        to_f32(entry, &self.bytes(entry)?)
    }

    /// Numbers that are held in f32 whatever the stage computes in.
    pub(crate) fn floats(&self, name: &str) -> Result<Tensor, LoadError> {
        let shape = self.entry(name)?.shape.as_slice();
        Ok(Tensor::from_vec(self.numbers(name)?, shape, self.device)?)
    }

    /// A short convolution, stored as `// (channels, 1, kernel)`.
    pub(crate) fn short_conv(&self, name: &str, bias: bool) -> Result<ShortConv, LoadError> {
        let weight = self.floats(&format!("{name}.weight"))?.squeeze(1)?.t()?.contiguous()?;
        let bias = bias.then(|| self.floats(&format!("{name}.bias"))).transpose()?;
        Ok(ShortConv { weight, bias })
    }

    pub(crate) fn vector(&self, values: Vec<f32>) -> Result<Tensor, LoadError> {
        let length = values.len();
        let tensor = Tensor::from_vec(values, length, &Device::Cpu)?;
        Ok(tensor.to_dtype(dtype(self.compute))?.to_device(self.device)?)
    }

    fn matrix(&self, part: &Part<'_>) -> Result<Matrix<'_>, LoadError> {
        let entry = self.entry(&format!("{}.weight", part.name))?;
        let bytes = self.bytes(entry)?;
        let bytes = match (part.interleaved, part.grouped) {
            (Some(rotated), _) => Cow::Owned(rotated.in_order(&bytes, entry.shape[0])),
            (None, Some((groups, kinds))) => Cow::Owned(by_kind(&bytes, groups, kinds)),
            (None, None) => bytes,
        };
        Ok(Matrix { entry, rows: entry.shape[0], columns: entry.shape[1], bytes })
    }

    /// The bias of a part, zeros where it has none.
    fn bias(&self, part: &Part<'_>, rows: usize) -> Result<Vec<f32>, LoadError> {
        if !part.bias {
            return Ok(vec![0.0; rows]);
        }
        let entry = self.entry(&format!("{}.bias", part.name))?;
        let bytes = self.bytes(entry)?;
        match (part.interleaved, part.grouped) {
            (Some(rotated), _) => to_f32(entry, &rotated.in_order(&bytes, rows)),
            (None, Some((groups, kinds))) => to_f32(entry, &by_kind(&bytes, groups, kinds)),
            (None, None) => to_f32(entry, &bytes),
        }
    }

    /// Matrices that multiply the same rows.
    pub(crate) fn shared(&self, parts: &[Part<'_>]) -> Result<Shared, LoadError> {
        let entries = parts
            .iter()
            .map(|part| self.entry(&format!("{}.weight", part.name)))
            .collect::<Result<Vec<_>, LoadError>>()?;
        let held: Vec<_> = entries.iter().map(|entry| self.held(Role::Matrix, entry)).collect();
        let mut products = Vec::new();
        let mut start = 0;
        for group in held.chunk_by(|a, b| a == b) {
            let range = start..start + group.len();
            start = range.end;
            let widths = |(part, entry): (&Part<'_>, &&TensorEntry)| match part.fused {
                [] => vec![entry.shape[0]],
                fused => fused.to_vec(),
            };
            let (parts, entries) = (&parts[range.clone()], &entries[range]);
            let widths = parts.iter().zip(entries).flat_map(widths).collect();
            products.push((self.product(parts, entries, group[0])?, widths));
        }
        Ok(Shared { products })
    }

    /// One matrix.
    pub(crate) fn linear(&self, part: Part<'_>) -> Result<Linear, LoadError> {
        let entry = self.entry(&format!("{}.weight", part.name))?;
        let held = self.held(Role::Matrix, entry);
        self.product(&[part], &[entry], held)
    }

    /// A matrix, or several of one shape, as a tensor of the stored shape in the type that is computed in.
    pub(crate) fn dense(&self, name: &str) -> Result<Tensor, LoadError> {
        let entry = self.entry(&format!("{name}.weight"))?;
        let columns = entry.shape.last().copied().unwrap_or(0).max(1);
        let rows = entry.shape.iter().product::<usize>() / columns;
        let mut stack = Stack::new(self.held(Role::Plain, entry), rows, columns);
        stack.push(&Matrix { entry, rows, columns, bytes: self.bytes(entry)? })?;
        match stack.finish(self.device, Use::Lookup)? {
            Weight::Dense(tensor) => Ok(tensor.reshape(entry.shape.as_slice())?),
            Weight::Quantized(tensor) => Ok(tensor.dequantize(self.device)?.reshape(entry.shape.as_slice())?),
            Weight::Matrix(_) | Weight::Blocks(_) => unreachable!("what is computed with as it is, is held so"),
        }
    }

    /// One matrix in the type that is computed in, whatever weights are quantized to.
    pub(crate) fn plain(&self, name: &str, bias: bool) -> Result<Linear, LoadError> {
        let entry = self.entry(&format!("{name}.weight"))?;
        let held = self.held(Role::Plain, entry);
        self.product(&[Part::new(name, bias)], &[entry], held)
    }

    fn product(&self, parts: &[Part<'_>], entries: &[&TensorEntry], held: WeightType) -> Result<Linear, LoadError> {
        let (stack, biases) = self.stack(parts, entries, held)?;
        let bias = if parts.iter().any(|part| part.bias) { Some(self.vector(biases)?) } else { None };
        Ok(Linear { weight: stack.finish(self.device, Use::Products)?, bias })
    }

    /// The parts one above the other, and their biases: zeros where a part has none.
    fn stack(
        &self,
        parts: &[Part<'_>],
        entries: &[&TensorEntry],
        held: WeightType,
    ) -> Result<(Stack, Vec<f32>), LoadError> {
        let rows = entries.iter().map(|entry| entry.shape[0]).sum();
        let mut stack = Stack::new(held, rows, entries.first().map_or(0, |entry| entry.shape[1]));
        let mut biases = Vec::new();
        for (part, entry) in parts.iter().zip(entries) {
            stack.push(&self.matrix(part)?)?;
            biases.extend(self.bias(part, entry.shape[0])?);
        }
        Ok((stack, biases))
    }

    /// A table of which rows are looked up.
    pub(crate) fn table(&self, name: &str) -> Result<Weight, LoadError> {
        let entry = self.entry(name)?;
        let (rows, columns) = (entry.shape[0], entry.shape[1]);
        let mut stack = Stack::new(self.held(Role::Table, entry), rows, columns);
        stack.push(&Matrix { entry, rows, columns, bytes: self.bytes(entry)? })?;
        stack.finish(self.device, Use::Lookup)
    }

    /// The embedding table and the head's matrix, as far as the stage has them.
    pub(crate) fn ends(&self, embedding: bool, head: bool) -> Result<(Option<Weight>, Option<Weight>), LoadError> {
        let tied = self.config().tied_embeddings && embedding && head;
        let load = |name: &str, held: &dyn Fn(&TensorEntry) -> WeightType, use_of: Use| {
            let entry = self.entry(name)?;
            let (rows, columns) = (entry.shape[0], entry.shape[1]);
            let mut stack = Stack::new(held(entry), rows, columns);
            stack.push(&Matrix { entry, rows, columns, bytes: self.bytes(entry)? })?;
            stack.finish(self.device, use_of)
        };
        let head_type = |entry: &TensorEntry| self.held(Role::Head, entry);
        if tied {
            let table_type = |entry: &TensorEntry| tied_table_type(entry, self.quant, self.compute).on(self.kind());
            let entry = self.entry(tensors::EMBEDDING)?;
            let shared = table_type(entry) == head_type(entry);
            let use_of = if shared { Use::Both } else { Use::Lookup };
            let table = load(tensors::EMBEDDING, &table_type, use_of)?;
            let head = match shared {
                true => table.clone(),
                false => load(tensors::EMBEDDING, &head_type, Use::Products)?,
            };
            return Ok((Some(table), Some(head)));
        }
        let table = embedding
            .then(|| load(tensors::EMBEDDING, &|entry| self.held(Role::Embedding, entry), Use::Lookup))
            .transpose()?;
        let head = head.then(|| load(tensors::head_tensor(self.config()), &head_type, Use::Products)).transpose()?;
        Ok((table, head))
    }
}

/// Matrices of one type, put on top of one another while they are converted to it. The memory for all of them is taken
/// once: what is loaded must not exist three times over on its way.
struct Stack {
    held: WeightType,
    rows: usize,
    columns: usize,
    /// The bytes as they will lie in memory; words, because candle asks for the alignment of its blocks.
    words: Vec<u32>,
    /// Bytes filled so far.
    filled: usize,
    /// Bytes of all.
    size: usize,
}

impl Stack {
    fn new(held: WeightType, rows: usize, columns: usize) -> Self {
        let bytes = |rows: usize| held.bytes_of(&[rows, columns]).unwrap_or(0) as usize;
        // What a CPU's kernel wants behind the last row is never touched by others.
        let words = vec![0; bytes(rows.next_multiple_of(cpu::ROWS)).div_ceil(4)];
        Stack { held, rows, columns, words, filled: 0, size: bytes(rows) }
    }

    fn push(&mut self, matrix: &Matrix<'_>) -> Result<(), LoadError> {
        let Matrix { entry, rows, columns, bytes } = matrix;
        let end = self.filled + self.held.bytes_of(&[*rows, *columns]).unwrap_or(0) as usize;
        let held = self.held;
        let target = &mut bytemuck::cast_slice_mut::<u32, u8>(&mut self.words)[self.filled..end];
        self.filled = end;
        if held == entry.dtype {
            target.copy_from_slice(bytes);
            return Ok(());
        }
        // Converted piece by piece on all cores, so that no second copy of the whole exists.
        let rows = CONVERT_ELEMENTS.div_ceil(*columns);
        let row_bytes = |weight: WeightType| weight.bytes_of(&[*columns]).unwrap_or(0) as usize;
        let pieces = target.par_chunks_mut(rows * row_bytes(held)).zip(bytes.par_chunks(rows * row_bytes(entry.dtype)));
        pieces.try_for_each(|(target, bytes)| convert(entry, *columns, bytes, held, target))
    }

    fn finish(mut self, device: &Device, use_of: Use) -> Result<Weight, LoadError> {
        let shape = (self.rows, self.columns);
        if self.held == WeightType::F32 {
            self.words.truncate(self.size / 4);
            return Ok(Weight::Dense(Tensor::from_vec(bytemuck::cast_vec::<u32, f32>(self.words), shape, device)?));
        }
        if device.is_cpu() && use_of != Use::Lookup && cpu::is_multiplied(self.held) {
            return Ok(Weight::Matrix(Arc::new(CpuMatrix::new(self.held, shape, self.words)?)));
        }
        if self.held.is_dequantized() {
            return Ok(Weight::Blocks(Arc::new(Blocks::new(self.held, shape, self.words))));
        }
        let bytes = &bytemuck::cast_slice::<u32, u8>(&self.words)[..self.size];
        let Some(dtype) = dense(self.held) else {
            let storage = QStorage::from_data(Cow::Borrowed(bytes), device, ggml(self.held)?)?;
            drop(self.words);
            return Ok(Weight::Quantized(Arc::new(QTensor::new(storage, shape)?)));
        };
        Ok(Weight::Dense(Tensor::from_raw_buffer(bytes, dtype, &[shape.0, shape.1], device)?))
    }
}

/// What a matrix is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Products with rows.
    Products,
    /// Rows by token id.
    Lookup,
    /// Both.
    Both,
}

/// Converts whole rows to another type.
fn convert(
    entry: &TensorEntry,
    columns: usize,
    bytes: &[u8],
    held: WeightType,
    target: &mut [u8],
) -> Result<(), LoadError> {
    if (entry.dtype, held) == (WeightType::Mxfp4, WeightType::Q8_0) {
        return mxfp4::to_q8_0(bytes, target).ok_or_else(|| LoadError::Scale { name: entry.name.clone() });
    }
    let values = match entry.dtype.is_quantized() {
        true => dequantized(entry.dtype, columns, bytes)?,
        false => to_f32(entry, bytes)?,
    };
    match held {
        WeightType::F32 => write(target, values.iter().map(|value| value.to_le_bytes())),
        WeightType::F16 => write(target, values.iter().map(|&value| f16::from_f32(value).to_le_bytes())),
        WeightType::Bf16 => write(target, values.iter().map(|&value| bf16::from_f32(value).to_le_bytes())),
        quantized => {
            let rows = values.len() / columns;
            let rows = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?;
            target.copy_from_slice(&QTensor::quantize(&rows, ggml(quantized)?)?.data()?);
        }
    }
    Ok(())
}

/// Rows of quantized elements as f32.
pub(crate) fn dequantized(dtype: WeightType, columns: usize, bytes: &[u8]) -> candle_core::Result<Vec<f32>> {
    let elements = bytes.len() / dtype.block_bytes() * dtype.block_elements();
    let mut values = vec![0.0; if dtype.is_dequantized() { elements } else { 0 }];
    if dequantize::values(dtype, bytes, &mut values) {
        return Ok(values);
    }
    let rows = elements / columns;
    let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, ggml(dtype)?)?;
    QTensor::new(storage, (rows, columns))?.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()
}

fn write<const N: usize>(target: &mut [u8], elements: impl Iterator<Item = [u8; N]>) {
    for (target, element) in target.as_chunks_mut().0.iter_mut().zip(elements) {
        *target = element;
    }
}

/// Plain elements as f32.
fn to_f32(entry: &TensorEntry, bytes: &[u8]) -> Result<Vec<f32>, LoadError> {
    let pair = |bytes: &[u8]| [bytes[0], bytes[1]];
    let quad = |bytes: &[u8]| [bytes[0], bytes[1], bytes[2], bytes[3]];
    Ok(match entry.dtype {
        WeightType::F32 => bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(quad(bytes))).collect(),
        WeightType::Bf16 => bytes.chunks_exact(2).map(|bytes| bf16::from_le_bytes(pair(bytes)).to_f32()).collect(),
        WeightType::F16 => bytes.chunks_exact(2).map(|bytes| f16::from_le_bytes(pair(bytes)).to_f32()).collect(),
        dtype => return Err(ManifestError::QuantizedVector { name: entry.name.clone(), dtype }.into()),
    })
}
