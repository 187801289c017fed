//! What constraints cost, for `benches/constraint.rs`.

use super::{
    Grammar,
    compile::GrammarCache,
    state::{ConstraintState, NextTokens},
    vocabulary::Vocabulary,
};
use serde_json::{Map, Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Properties of the schema that is measured.
const FIELDS: usize = 50;

/// A vocabulary and the time that it took to make.
pub struct Bench {
    vocabulary: Arc<Vocabulary>,
    /// What making it took.
    pub made_in: Duration,
}

/// One token of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What taking it in and working out what may come next took.
    pub took: Duration,
    /// Tokens that may come next.
    pub allowed: usize,
    /// Bytes that they take to travel.
    pub bytes: usize,
}

impl Bench {
    /// The vocabulary of these tokens, with an end-of-sequence token behind them.
    ///
    /// # Panics
    /// The library refuses the vocabulary.
    pub fn new(mut pieces: Vec<Vec<u8>>) -> Self {
        let start = Instant::now();
        let eos = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        pieces.push(b"\xFF<end>".to_vec());
        let vocabulary = Vocabulary::of_pieces(&pieces, vec![eos]).expect("a vocabulary");
        Self { vocabulary: Arc::new(vocabulary), made_in: start.elapsed() }
    }

    /// Compiles a schema of 50 properties and follows an answer's tokens, the longest ones that write its text.
    ///
    /// # Panics
    /// The answer is not valid under the schema.
    pub fn fifty_fields(&self) -> (Duration, Vec<Step>) {
        let (mut properties, mut answer) = (Map::new(), Map::new());
        for number in 0..FIELDS {
            let (schema, value) = match number % 5 {
                0 => (json!({"type": "string"}), json!(format!("Some words about field number {number}, no more."))),
                1 => (json!({"type": "integer", "minimum": 0, "maximum": 100_000}), json!(number * 321)),
                2 => (json!({"enum": ["red", "green", "blue"]}), json!("green")),
                3 => (json!({"type": "array", "items": {"type": "number"}, "maxItems": 8}), json!([1.5, -20, 300])),
                _ => (json!({"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]}), json!("2026-11-30")),
            };
            properties.insert(format!("field_{number}"), schema);
            answer.insert(format!("field_{number}"), value);
        }
        let required: Vec<&String> = properties.keys().collect();
        let schema =
            json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties});
        let start = Instant::now();
        let mut state = self.state(&Grammar::JsonSchema(schema));
        let mut steps = vec![Self::step(&mut state, None)];
        let compiled_in = start.elapsed();
        let text = Value::Object(answer).to_string();
        for token in self.vocabulary.factory.tok_env().tokenize_bytes(text.as_bytes()) {
            steps.push(Self::step(&mut state, Some(token)));
        }
        (compiled_in, steps)
    }

    /// Follows tokens that are chosen as they come, by turns from the start, the middle and the end of those that may come
    /// next. Returns what compiling took, the steps, and why it ended early.
    pub fn hostile(&self, grammar: &Grammar, tokens: usize) -> (Duration, Vec<Step>, Option<String>) {
        let start = Instant::now();
        let parser = GrammarCache::default().parser(&self.vocabulary, grammar);
        let compiled_in = start.elapsed();
        let parser = match parser {
            Ok(parser) => parser,
            Err(problem) => return (compiled_in, Vec::new(), Some(problem.to_string())),
        };
        let mut state = ConstraintState::new(Arc::clone(&self.vocabulary), parser, None, false);
        let (mut steps, mut chosen) = (Vec::new(), None);
        for turn in 0..tokens {
            let start = Instant::now();
            let next = chosen.map_or(Ok(()), |token| state.accept(token)).and_then(|()| state.next());
            let took = start.elapsed();
            let set = match next {
                Ok(NextTokens::Among(set)) => set,
                Ok(_) => return (compiled_in, steps, None),
                Err(problem) => {
                    steps.push(Step { took, allowed: 0, bytes: 0 });
                    return (compiled_in, steps, Some(problem.to_string()));
                }
            };
            let mut ids: Vec<u32> = set.tokens().collect();
            ids.retain(|token| !self.vocabulary.eos.contains(token));
            steps.push(Step { took, allowed: set.count(), bytes: set.to_bytes().len() });
            let Some(&token) = ids.get(turn * 7919 % ids.len().max(1)) else { break };
            chosen = Some(token);
        }
        (compiled_in, steps, None)
    }

    fn state(&self, grammar: &Grammar) -> ConstraintState {
        let parser = GrammarCache::default().parser(&self.vocabulary, grammar).expect("a good grammar");
        ConstraintState::new(Arc::clone(&self.vocabulary), parser, None, false)
    }

    fn step(state: &mut ConstraintState, token: Option<u32>) -> Step {
        let start = Instant::now();
        token.map_or(Ok(()), |token| state.accept(token)).expect("allowed");
        let next = state.next().expect("something may come next");
        let (allowed, bytes) = match &next {
            NextTokens::Among(set) => (set.count(), set.to_bytes().len()),
            NextTokens::Any | NextTokens::Complete => (0, 0),
        };
        Step { took: start.elapsed(), allowed, bytes }
    }
}
