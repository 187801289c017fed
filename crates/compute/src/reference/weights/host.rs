//! Matrices in main memory, as another back end brings them to its device.

use super::{Loader, Matrix, Part, Stack};
use crate::LoadError;
use gogrid_model::tensors::{self, Role};
use gogrid_model::{TensorEntry, WeightType, held_type, tied_table_type};

/// Matrices of one type, one above the other, with their rows in the order of the computation.
pub(crate) struct Host {
    pub(crate) held: WeightType,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// One number for each row; zeros where there is no bias.
    pub(crate) bias: Vec<f32>,
    stack: Stack,
}

impl Host {
    fn new(stack: Stack, bias: Vec<f32>) -> Self {
        Host { held: stack.held, rows: stack.rows, columns: stack.columns, bias, stack }
    }

    /// The rows, in ggml's blocks where they are quantized.
    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice::<u32, u8>(&self.stack.words)[..self.stack.size]
    }
}

impl Loader<'_> {
    /// Matrices that multiply the same rows; neighbours of one type as one.
    pub(crate) fn host(&self, parts: &[Part<'_>]) -> Result<Vec<Host>, LoadError> {
        let entries =
            parts.iter().map(|part| self.entry(&format!("{}.weight", part.name))).collect::<Result<Vec<_>, _>>()?;
        let held: Vec<_> =
            entries.iter().map(|entry| held_type(Role::Matrix, entry, self.quant, self.compute)).collect();
        let mut hosts = Vec::new();
        let mut start = 0;
        for group in held.chunk_by(|a, b| a == b) {
            let range = start..start + group.len();
            start = range.end;
            let (stack, bias) = self.stack(&parts[range.clone()], &entries[range], group[0])?;
            hosts.push(Host::new(stack, bias));
        }
        Ok(hosts)
    }

    /// The embedding table and the head's matrix, as far as the stage has them. No matrix for a head that computes with
    /// the table.
    pub(crate) fn host_ends(&self, embedding: bool, head: bool) -> Result<(Option<Host>, Option<Host>), LoadError> {
        let load = |name: &str, held: &dyn Fn(&TensorEntry) -> WeightType| {
            let entry = self.entry(name)?;
            let (rows, columns) = (entry.shape[0], entry.shape[1]);
            let mut stack = Stack::new(held(entry), rows, columns);
            stack.push(&Matrix { entry, rows, columns, bytes: self.bytes(entry)? })?;
            Ok::<_, LoadError>(Host::new(stack, Vec::new()))
        };
        let head_type = |entry: &TensorEntry| held_type(Role::Head, entry, self.quant, self.compute);
        let tied = self.config().tied_embeddings && embedding && head;
        let table_type = |entry: &TensorEntry| match tied {
            true => tied_table_type(entry, self.quant, self.compute),
            false => entry.dtype.held(),
        };
        let table = embedding.then(|| load(tensors::EMBEDDING, &table_type)).transpose()?;
        let shared = tied && {
            let entry = self.entry(tensors::EMBEDDING)?;
            table_type(entry) == head_type(entry)
        };
        let matrix = (head && !shared).then(|| load(tensors::head_tensor(self.config()), &head_type)).transpose()?;
        Ok((table, matrix))
    }
}
