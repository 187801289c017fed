//! One step of a stage, computed in pieces: the layers one after another, then the head.
//!
//! A caller that has to keep a device free for others, or to stop soon, advances a pass by a few units and looks around.

use super::{Stage, Trace};
use crate::attention::Step;
use crate::compute_threads::Threads;
use crate::rope::Angles;
use crate::{Activations, ForwardError, Input, Output, Span};
use candle_core::Tensor;
use std::collections::HashSet;

/// A step under way. Its sessions must stay open, and get no other step, until it is done or dropped; a pass that is
/// dropped changes nothing.
#[derive(Debug)]
pub struct Pass {
    spans: Vec<Span>,
    /// Rows of all spans.
    rows: usize,
    angles: Angles,
    /// The residual stream, `// (rows, hidden_size)`.
    hidden: Tensor,
    /// Layers that are done.
    done: usize,
}

impl Pass {
    /// The spans that it computes.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Rows of all spans.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Layers that are done.
    pub fn layers_done(&self) -> usize {
        self.done
    }
}

impl Stage {
    /// Computes one step for the rows of several sessions, and caches their keys and values.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub fn forward(&mut self, spans: &[Span], input: Input<'_>) -> Result<Output, ForwardError> {
        let mut pass = self.begin(spans.to_vec(), input)?;
        loop {
            if let Some(output) = self.advance(&mut pass, usize::MAX, Threads::All)? {
                return Ok(output);
            }
        }
    }

    /// Checks a step and makes it ready to be computed.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub fn begin(&self, spans: Vec<Span>, input: Input<'_>) -> Result<Pass, ForwardError> {
        let rows = self.check_spans(&spans)?;
        self.check_input(rows, &input)?;
        let dtype = self.compute.dtype();
        let hidden = match (input, &self.embedding) {
            (Input::Tokens(ids), Some(table)) => table.lookup(ids, &self.device, dtype)?,
            (Input::Hidden(activations), None) => activations.to_tensor(&self.device, dtype)?,
            (input, _) => return Err(self.wrong_input(&input)),
        };
        let positions: Vec<usize> = spans.iter().flat_map(|span| span.position..span.position + span.tokens).collect();
        let angles = self.frequencies.angles(&positions, &self.device, dtype)?;
        Ok(Pass { spans, rows, angles, hidden, done: 0 })
    }

    /// Computes up to so many more units: a layer is one, the head is one. Gives the output once all are done. A GPU has
    /// finished what was asked of it when this returns.
    ///
    /// # Errors
    /// See [`ForwardError`]. The pass is of no use then.
    pub fn advance(&mut self, pass: &mut Pass, units: usize, threads: Threads) -> Result<Option<Output>, ForwardError> {
        if self.device.is_cpu() {
            let rows = pass.rows;
            return threads.run(rows, || self.advance_with(pass, units, &mut |_, _| {}));
        }
        let output = self.advance_with(pass, units, &mut |_, _| {})?;
        self.device.synchronize()?;
        Ok(output)
    }

    /// The units that a pass has left.
    pub fn units_left(&self, pass: &Pass) -> usize {
        let head = usize::from(self.head.is_some());
        (self.blocks.len() + head - pass.done.min(self.blocks.len())).max(1)
    }

    /// The same, with a look at what enters each layer.
    pub(crate) fn advance_with(
        &mut self,
        pass: &mut Pass,
        units: usize,
        trace: Trace<'_>,
    ) -> Result<Option<Output>, ForwardError> {
        let mut step = Step { spans: &pass.spans, rows: pass.rows, angles: pass.angles.clone(), kv: &mut self.kv };
        let (first, end) = (pass.done, self.blocks.len().min(pass.done.saturating_add(units)));
        for (index, block) in self.blocks.iter().enumerate().take(end).skip(first) {
            trace(self.layers.start + index, &pass.hidden);
            pass.hidden = block.forward(&pass.hidden, &mut step)?;
        }
        pass.done = end;
        if end < self.blocks.len() {
            return Ok(None);
        }
        let output = match &self.head {
            // The head is a unit of its own.
            Some(_) if end - first == units => return Ok(None),
            Some(head) => {
                trace(self.config.layers, &pass.hidden);
                Output::Logits(head.logits(&pass.hidden, &pass.spans, self.config.norm_eps as f32)?)
            }
            None => Output::Hidden(Activations::from_tensor(&pass.hidden, self.activations)?),
        };
        for span in &pass.spans {
            self.kv.commit(span.session, span.tokens);
        }
        Ok(Some(output))
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
