//! One step of a stage, computed in units.
//!
//! A caller that has to keep a device free for others, or to stop soon, advances a pass by a few units and looks around.

use super::Stage;
use crate::backend::{PassState, Unit};
use crate::{ForwardError, Threads};
use gogrid_model::{Input, Output, Span};
use std::collections::HashSet;
use std::fmt;

/// A step under way. Its sessions must stay open, and get no other step, until it is done or dropped; a pass that is
/// dropped changes nothing.
pub struct Pass {
    spans: Vec<Span>,
    /// Rows of all spans.
    rows: usize,
    units: Vec<Unit>,
    /// Units that are done.
    done: usize,
    state: PassState,
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pass { spans, rows, units, done, state: _ } = self;
        f.debug_struct("Pass")
            .field("spans", spans)
            .field("rows", rows)
            .field("units", &units.len())
            .field("done", done)
            .finish_non_exhaustive()
    }
}

impl Pass {
    /// Rows of all spans.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The units that are left, in their order.
    pub fn units(&self) -> &[Unit] {
        &self.units[self.done..]
    }
}

impl Stage {
    /// Computes one step for the rows of several sessions, and keeps what later tokens need of them.
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
        let state = self.backend.begin(&spans, input)?;
        let units = self.backend.units(&spans);
        Ok(Pass { spans, rows, units, done: 0, state })
    }

    /// Computes up to this many more units, at least one. Gives the output once all are done. A GPU has finished what was
    /// asked of it when this returns.
    ///
    /// # Errors
    /// See [`ForwardError`]. The pass is of no use then.
    pub fn advance(&mut self, pass: &mut Pass, units: usize, threads: Threads) -> Result<Option<Output>, ForwardError> {
        let end = pass.done.saturating_add(units.max(1)).min(pass.units.len());
        let output = self.backend.advance(&pass.spans, &mut pass.state, pass.done..end, threads)?;
        pass.done = end;
        if output.is_some() {
            for span in &pass.spans {
                self.sequences.commit(span.session, span.tokens);
            }
        }
        Ok(output)
    }

    /// The layer that begins with the pass' next unit, and what enters it.
    pub(crate) fn entering(&self, pass: &Pass) -> Result<Option<(usize, Vec<f32>)>, ForwardError> {
        self.backend.entering(&pass.state, pass.done)
    }

    /// Checks the spans against the sessions; gives their tokens.
    fn check_spans(&self, spans: &[Span]) -> Result<usize, ForwardError> {
        if spans.is_empty() {
            return Err(ForwardError::NoSpans);
        }
        let mut seen = HashSet::with_capacity(spans.len());
        let mut rows = 0usize;
        let most = self.max_span().unwrap_or(usize::MAX);
        for &Span { session, position, tokens, .. } in spans {
            if tokens == 0 {
                return Err(ForwardError::EmptySpan(session));
            }
            if !seen.insert(session) {
                return Err(ForwardError::TwoSpans(session));
            }
            if tokens > most {
                return Err(ForwardError::LongSpan { session, tokens, most });
            }
            let cached = self.sequences.get(session).ok_or(ForwardError::UnknownSession(session))?;
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
                let (found, expected) = (activations.width, self.config.row_width(self.layers.start));
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
    use gogrid_model::{CandidateRequest, DeviceSpec, FloatType, Layers, SessionKey, Source};
    use rstest::rstest;
    use std::path::Path;

    fn stage() -> Stage {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
        let source = Source::open(&model).unwrap();
        let manifest = source.manifest().unwrap();
        let (quant, device) = ("q8_0".parse().unwrap(), DeviceSpec::Cpu);
        let options = StageOptions { quant, device, kv_budget: u64::MAX, chunk: 64, activations: FloatType::F32 };
        Stage::load(&manifest, Layers::all(manifest.config.layers.len()), &source, &options).unwrap()
    }

    fn spans(position: usize, tokens: usize) -> Vec<Span> {
        let want = || Some(CandidateRequest { top: usize::MAX, ..CandidateRequest::default() });
        [1, 2].map(|key| Span { session: SessionKey(key), position, tokens, want: want() }).into()
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
            let mut left = pass.units().len();
            assert_eq!(left, 8 * 3 + 1);
            let output = loop {
                let output = cut.advance(&mut pass, units, threads).unwrap();
                left = left.saturating_sub(units);
                assert_eq!(pass.units().len(), left);
                if let Some(output) = output {
                    break output;
                }
            };
            assert_eq!(left, 0);
            assert_eq!(output, expected);
        }
    }
}
