//! Loading a layer's experts, from tensors of their own or from those of all experts.

use super::super::experts::Expert;
use super::super::linear::{Linear, Shared};
use super::order::{in_turn, transposed};
use super::{Loader, Matrix, Part, Stack, Use};
use crate::LoadError;
use gogrid_model::tensors::{Role, layer_tensor};
use gogrid_model::{ExpertsSpec, ExpertsStored, TensorEntry};
use std::borrow::Cow;

/// A tensor of all experts.
struct OfAll<'a> {
    entry: &'a TensorEntry,
    bytes: Cow<'a, [u8]>,
    /// The biases of all experts.
    bias: Option<Vec<f32>>,
    role: Role,
    /// Whether gate and up are in turn.
    in_turn: bool,
}

impl Loader<'_> {
    /// The experts of a layer, in their order.
    pub(crate) fn experts(&self, spec: &ExpertsSpec, layer: usize) -> Result<Vec<Expert>, LoadError> {
        let name = |part: &str| layer_tensor(layer, &format!("mlp.experts.{part}"));
        if spec.stored == ExpertsStored::Separate {
            let expert = |expert: usize| {
                let [gate, up, down] = ["gate", "up", "down"].map(|part| name(&format!("{expert}.{part}_proj")));
                let gate_up = self.shared(&[Part::new(&gate, spec.bias), Part::new(&up, spec.bias)])?;
                Ok(Expert { gate_up, down: self.linear(Part::new(&down, spec.bias))? })
            };
            return (0..spec.count).map(expert).collect();
        }
        let role = if spec.stored == ExpertsStored::Transposed { Role::Transposed } else { Role::Matrix };
        let all = |part: &str, in_turn: bool| self.of_all(&name(part), role, in_turn, spec.bias);
        let down = all("down_proj", false)?;
        let gates = match spec.stored {
            ExpertsStored::Stacked => vec![all("gate_proj", false)?, all("up_proj", false)?],
            stored => vec![all("gate_up_proj", stored == ExpertsStored::Transposed)?],
        };
        let expert = |expert: usize| {
            let products = gates.iter().map(|of_all| {
                let linear = self.one_of(of_all, spec, expert)?;
                let widths = if gates.len() == 1 { vec![spec.width, spec.width] } else { vec![spec.width] };
                Ok((linear, widths))
            });
            let gate_up = Shared { products: products.collect::<Result<_, LoadError>>()? };
            Ok(Expert { gate_up, down: self.one_of(&down, spec, expert)? })
        };
        (0..spec.count).map(expert).collect()
    }

    fn of_all(&self, name: &str, role: Role, in_turn: bool, bias: bool) -> Result<OfAll<'_>, LoadError> {
        let entry = self.entry(name)?;
        let bias = bias.then(|| self.numbers(&format!("{name}_bias"))).transpose()?;
        Ok(OfAll { entry, bytes: self.bytes(entry)?, bias, role, in_turn })
    }

    /// One expert's matrix.
    fn one_of(&self, of_all: &OfAll<'_>, spec: &ExpertsSpec, expert: usize) -> Result<Linear, LoadError> {
        let OfAll { entry, bytes, bias, role, in_turn: turns } = of_all;
        let part = |length: usize| expert * (length / spec.count)..(expert + 1) * (length / spec.count);
        let mut bytes = Cow::Borrowed(&bytes[part(bytes.len())]);
        let mut bias = bias.as_ref().map(|bias| bias[part(bias.len())].to_vec());
        let (mut rows, mut columns) = (entry.shape[1], entry.shape[2]);
        if *role == Role::Transposed {
            (rows, columns) = (columns, rows);
            bytes = Cow::Owned(transposed(&bytes, entry.dtype.block_bytes(), rows));
        }
        if *turns {
            bytes = Cow::Owned(in_turn(&bytes, bytes.len() / rows));
            bias = bias.map(|bias| in_turn(&bias, 1));
        }
        let mut stack = Stack::new(self.held(*role, entry), rows, columns);
        stack.push(&Matrix { entry, rows, columns, bytes })?;
        let bias = bias.map(|bias| self.vector(bias)).transpose()?;
        Ok(Linear { weight: stack.finish(self.device, Use::Products)?, bias })
    }
}
