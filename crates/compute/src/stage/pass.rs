//! One step of a stage, computed in pieces: three of each layer, one after another, then the head.
//!
//! A caller that has to keep a device free for others, or to stop soon, advances a pass by a few units and looks around.

use super::{Stage, Trace};
use crate::attention::Step;
use crate::compute_threads::Threads;
use crate::mask::Masks;
use crate::rope::Angles;
use crate::{ForwardError, convert};
use candle_core::Tensor;
use gogrid_model::{Input, Output, Span};
use std::collections::HashSet;

/// A piece of a step that is computed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A layer's attention.
    Attention,
    /// The first half of its feed-forward network: gate and up.
    Up,
    /// The second half: down.
    Down,
    /// The final norm and the matrix that gives logits.
    Head,
}

impl Unit {
    /// The units of a layer, in their order.
    pub const LAYER: [Unit; 3] = [Unit::Attention, Unit::Up, Unit::Down];
    /// Every kind.
    pub const ALL: [Unit; 4] = [Unit::Attention, Unit::Up, Unit::Down, Unit::Head];
}

/// A step under way. Its sessions must stay open, and get no other step, until it is done or dropped; a pass that is
/// dropped changes nothing.
#[derive(Debug)]
pub struct Pass {
    spans: Vec<Span>,
    /// Rows of all spans.
    rows: usize,
    angles: Angles,
    masks: Masks,
    /// The residual stream, `// (rows, hidden_size)`.
    hidden: Tensor,
    /// Between the halves of a feed-forward network, `// (rows, ffn)`.
    gated: Option<Tensor>,
    /// Units that are done.
    done: usize,
    /// Units of the layers.
    layers: usize,
    head: bool,
}

impl Pass {
    /// Rows of all spans.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The units that are left, in their order.
    pub fn units(&self) -> impl Iterator<Item = Unit> + use<> {
        let layers = (self.done..self.layers).map(|unit| Unit::LAYER[unit % Unit::LAYER.len()]);
        layers.chain(self.head.then_some(Unit::Head))
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
        let dtype = convert::dtype(self.compute);
        let hidden = match (input, &self.embedding) {
            (Input::Tokens(ids), Some(table)) => table.lookup(ids, &self.device, dtype)?,
            (Input::Hidden(activations), None) => convert::to_tensor(&activations, &self.device, dtype)?,
            (input, _) => return Err(self.wrong_input(&input)),
        };
        let positions: Vec<usize> = spans.iter().flat_map(|span| span.position..span.position + span.tokens).collect();
        let angles = self.frequencies.angles(&positions, &self.device, dtype)?;
        let layers = self.blocks.len() * Unit::LAYER.len();
        let (masks, head) = (Masks::default(), self.head.is_some());
        Ok(Pass { spans, rows, angles, masks, hidden, gated: None, done: 0, layers, head })
    }

    /// Computes up to so many more units, at least one. Gives the output once all are done. A GPU has finished what was
    /// asked of it when this returns.
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

    /// The same, with a look at what enters each layer.
    pub(crate) fn advance_with(
        &mut self,
        pass: &mut Pass,
        units: usize,
        trace: Trace<'_>,
    ) -> Result<Option<Output>, ForwardError> {
        let mut step = Step {
            spans: &pass.spans,
            rows: pass.rows,
            angles: pass.angles.clone(),
            masks: &mut pass.masks,
            kv: &mut self.kv,
        };
        let end = pass.done.saturating_add(units.max(1));
        while pass.done < end.min(pass.layers) {
            let (layer, unit) = (pass.done / Unit::LAYER.len(), Unit::LAYER[pass.done % Unit::LAYER.len()]);
            let block = &self.blocks[layer];
            match (unit, pass.gated.take()) {
                (Unit::Up, _) => pass.gated = Some(block.up(&pass.hidden)?),
                (Unit::Down, Some(gated)) => pass.hidden = block.down(&pass.hidden, &gated)?,
                _ => {
                    trace(self.layers.start + layer, &pass.hidden);
                    pass.hidden = block.attend(&pass.hidden, &mut step)?;
                }
            }
            pass.done += 1;
        }
        if pass.done < pass.layers {
            return Ok(None);
        }
        let output = match &self.head {
            Some(_) if end == pass.layers => return Ok(None),
            Some(head) => {
                trace(self.config.layers.len(), &pass.hidden);
                Output::Logits(head.logits(&pass.hidden, &pass.spans, self.config.norm_eps as f32)?)
            }
            None => Output::Hidden(convert::from_tensor(&pass.hidden, self.activations)?),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StageOptions;
    use gogrid_model::{DeviceSpec, FloatType, Layers, SessionKey, Source};
    use rstest::rstest;
    use std::path::Path;

    fn stage() -> Stage {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
        let source = Source::open(&model).unwrap();
        let manifest = source.manifest().unwrap();
        let quant = "q8_0".parse().unwrap();
        let options = StageOptions { quant, device: DeviceSpec::Cpu, kv_budget: u64::MAX, activations: FloatType::F32 };
        Stage::load(&manifest, Layers::all(manifest.config.layers.len()), &source, &options).unwrap()
    }

    fn spans(position: usize, tokens: usize) -> Vec<Span> {
        [1, 2].map(|key| Span { session: SessionKey(key), position, tokens, logits: true }).into()
    }

    /// Whatever the pieces, on one thread or on all, and with another pass begun and dropped in between.
    #[rstest]
    fn pieces_give_what_the_whole_gives(
        #[values(1, 2, 3, 7, 100)] units: usize,
        #[values(Threads::One, Threads::All)] threads: Threads,
    ) {
        let (mut whole, mut cut) = (stage(), stage());
        for stage in [&mut whole, &mut cut] {
            stage.open(SessionKey(1), 40).unwrap();
            stage.open(SessionKey(2), 40).unwrap();
        }
        for (position, tokens) in [(0, 11), (11, 1), (12, 1)] {
            let input: Vec<u32> = (0..2 * tokens as u32).map(|token| 300 + token).collect();
            let expected = whole.forward(&spans(position, tokens), Input::Tokens(&input)).unwrap();
            let mut dropped = cut.begin(spans(position, tokens), Input::Tokens(&vec![7; input.len()])).unwrap();
            assert_eq!(cut.advance(&mut dropped, 5, threads).unwrap(), None);
            let mut pass = cut.begin(spans(position, tokens), Input::Tokens(&input)).unwrap();
            let mut left = pass.units().count();
            assert_eq!(left, 8 * 3 + 1);
            let output = loop {
                let output = cut.advance(&mut pass, units, threads).unwrap();
                left = left.saturating_sub(units);
                if let Some(output) = output {
                    break output;
                }
                assert_eq!(pass.units().count(), left);
            };
            assert_eq!(left, 0);
            assert_eq!(output, expected);
        }
    }
}
