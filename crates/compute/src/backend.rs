//! What a stage asks of the back end that computes it.

use crate::{ForwardError, Positions, Threads};
use gogrid_model::{Input, Output, SessionKey, Span};
use std::any::Any;
use std::fmt;
use std::ops::Range;

/// A kind of units. What one unit takes is measured for its kind, by rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitKind {
    /// Its name, for logs.
    pub name: &'static str,
    /// Units of the kind in a step of one token.
    pub decode: usize,
    /// Units of the kind in a step of a part of a prompt.
    pub prompt: usize,
    /// The part of its work that belongs to the head; the rest belongs to the layers.
    pub head: f64,
}

/// A piece of a step that is computed as a whole: a part of a layer, or everything that one captured graph replays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// Index of its kind.
    pub kind: usize,
    /// What it is expected to take, above 0. Units of one stage are measured with one another by it; the unit of
    /// measure is the back end's own.
    pub cost: f64,
}

/// What a pass carries from unit to unit: a type of the back end, opaque outside of it.
pub(crate) type PassState = Box<dyn Any + Send>;

/// What computes one stage, with the weights and the state of its sequences. The stage has checked every step before.
pub(crate) trait Backend: fmt::Debug + Send {
    /// The kinds of its units.
    fn kinds(&self) -> &[UnitKind];

    /// Takes a new sequence of up to `capacity` tokens in.
    fn open(&mut self, session: SessionKey, capacity: usize);

    /// Frees a sequence.
    fn close(&mut self, session: SessionKey);

    /// Frees all sequences.
    fn clear(&mut self);

    /// The positions from which a sequence of `length` tokens can go on: all of them where every token is held, else
    /// those whose state is still there.
    fn positions(&self, session: SessionKey, length: usize) -> Positions;

    /// Lets sequence `from` go on as `to`, of up to `capacity` tokens, behind its first `keep` tokens, which is one of its
    /// [`Backend::positions`].
    fn reuse(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize);

    /// Opens sequence `to`, of up to `capacity` tokens, with the first `keep` tokens of sequence `from`, which is one of
    /// its [`Backend::positions`]. `from` stays as it is.
    fn fork(&mut self, from: SessionKey, to: SessionKey, capacity: usize, keep: usize) -> Result<(), ForwardError>;

    /// Gives back what a sequence of `length` tokens holds for further ones.
    fn trim(&mut self, session: SessionKey, length: usize) -> Result<(), ForwardError>;

    /// The units of a step, in their order.
    fn units(&self, spans: &[Span]) -> Vec<Unit>;

    /// Makes a step ready to be computed.
    fn begin(&self, spans: &[Span], input: Input<'_>) -> Result<PassState, ForwardError>;

    /// Computes the units of a step at these indices of [`Backend::units`], and returns once the device has finished.
    /// Gives the output with the last unit; a step without units gives it at once. The step may be dropped before that,
    /// and its spans computed again: until then nothing that it writes is used. With the output the sequences have taken
    /// the step's tokens in.
    fn advance(
        &mut self,
        spans: &[Span],
        state: &mut PassState,
        units: Range<usize>,
        threads: Threads,
    ) -> Result<Option<Output>, ForwardError>;

    /// Kernels that were launched so far, those of replayed graphs too; `None` where they are not counted.
    fn launches(&self) -> Option<u64> {
        None
    }

    /// The layer, or the number of layers for the head, that begins with this unit, and the residual stream that enters
    /// it, row by row; `None` where the back end does not know it. For checks against a reference.
    fn entering(&self, state: &PassState, unit: usize) -> Result<Option<(usize, Vec<f32>)>, ForwardError>;
}
