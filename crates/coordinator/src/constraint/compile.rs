//! Makes states of constraints.

use super::{
    Constraint, ConstraintProblem, Grammar, Start, gbnf::to_lark, mark::Delimiter, pool::compiling, schema::prepare,
    state::ConstraintState, vocabulary::Vocabulary,
};
use crate::{generate::GenerateError, model::Model};
use llguidance::{TokenParser, api::TopLevelGrammar};
use serde_json::json;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// The longest grammar or schema, in bytes of its text.
const MAX_TEXT: usize = 256 << 10;
/// The longest mark behind which a constraint begins, in bytes.
const MAX_MARK: usize = 256;
/// The most brackets within each other in a grammar: its readers call themselves for each.
const MAX_NESTED: usize = 200;
/// Compiled grammars that a model keeps: the choices of one request, and clients that ask again with the same schema.
const KEPT: usize = 8;

/// Compiled grammars of one model.
#[derive(Default)]
pub(crate) struct GrammarCache {
    /// Made for the first constraint.
    vocabulary: OnceLock<Arc<Vocabulary>>,
    /// Those that were used last, the newest last. Each is as it was before its first token.
    compiled: Mutex<VecDeque<(blake3::Hash, TokenParser)>>,
}

/// Compiles a request's constraint. Cancel-safe.
///
/// # Errors
/// What is wrong with the constraint, or [`GenerateError::QueueFull`] while others are compiled.
pub(crate) async fn compile(
    model: &Arc<Model>,
    constraint: &Arc<Constraint>,
    ignore_eos: bool,
) -> Result<ConstraintState, GenerateError> {
    let work = {
        let (model, constraint) = (Arc::clone(model), Arc::clone(constraint));
        move || model.grammars.state(&model, &constraint, ignore_eos)
    };
    Ok(compiling(work).await?.map_err(|problem| constraint.error(problem))?)
}

impl GrammarCache {
    fn state(
        &self,
        model: &Model,
        constraint: &Constraint,
        ignore_eos: bool,
    ) -> Result<ConstraintState, ConstraintProblem> {
        let vocabulary = match self.vocabulary.get() {
            Some(vocabulary) => Arc::clone(vocabulary),
            None => {
                let made = Vocabulary::new(&model.text, model.manifest.config.vocab_size)?;
                Arc::clone(self.vocabulary.get_or_init(|| Arc::new(made)))
            }
        };
        let start = match &constraint.start {
            Start::AtOnce => None,
            Start::After(mark) => Some((checked_mark(mark)?, false)),
            Start::IfAfter(mark) => Some((checked_mark(mark)?, true)),
        };
        let parser = self.parser(&vocabulary, &constraint.grammar)?;
        Ok(ConstraintState::new(vocabulary, parser, start, ignore_eos))
    }

    /// A fresh parser, which shares nothing that changes with another one.
    pub(super) fn parser(&self, vocabulary: &Vocabulary, grammar: &Grammar) -> Result<TokenParser, ConstraintProblem> {
        let key = blake3::hash(format!("{grammar:?}").as_bytes());
        let mut compiled = self.compiled();
        if let Some(at) = compiled.iter().position(|(other, _)| *other == key)
            && let Some(found) = compiled.remove(at)
        {
            let parser = found.1.deep_clone();
            compiled.push_back(found);
            return Ok(parser);
        }
        drop(compiled);
        let parser = vocabulary.factory.create_parser(read(grammar)?).map_err(|error| refused(&error))?;
        let mut compiled = self.compiled();
        compiled.push_back((key, parser.deep_clone()));
        if compiled.len() > KEPT {
            compiled.pop_front();
        }
        Ok(parser)
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, VecDeque<(blake3::Hash, TokenParser)>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for GrammarCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

/// The grammar as the library takes it.
fn read(grammar: &Grammar) -> Result<TopLevelGrammar, ConstraintProblem> {
    let invalid = |message: &str| ConstraintProblem::Invalid { message: message.to_owned() };
    match grammar {
        Grammar::JsonObject => Ok(TopLevelGrammar::from_json_schema(prepare(&json!({"type": "object"}))?)),
        Grammar::JsonSchema(schema) => {
            check_length(schema.to_string().len())?;
            Ok(TopLevelGrammar::from_json_schema(prepare(schema)?))
        }
        Grammar::Regex(pattern) => {
            check_length(pattern.len())?;
            Ok(TopLevelGrammar::from_regex(pattern))
        }
        Grammar::Choice(choices) => {
            if choices.is_empty() {
                return Err(invalid("there must be a choice"));
            }
            check_length(choices.iter().map(|choice| choice.len() + 1).sum())?;
            let texts: Vec<String> = choices.iter().map(|choice| json!(choice).to_string()).collect();
            Ok(TopLevelGrammar::from_lark(format!("start: {}", texts.join(" | "))))
        }
        Grammar::Lark(text) => {
            check_length(text.len())?;
            check_nesting(text)?;
            Ok(TopLevelGrammar::from_lark(text.clone()))
        }
        Grammar::Gbnf(text) => {
            check_length(text.len())?;
            check_nesting(text)?;
            Ok(TopLevelGrammar::from_lark(to_lark(text)?))
        }
    }
}

fn check_length(bytes: usize) -> Result<(), ConstraintProblem> {
    match bytes <= MAX_TEXT {
        true => Ok(()),
        false => {
            Err(ConstraintProblem::TooLarge { message: format!("{bytes} bytes, but at most {MAX_TEXT} are read") })
        }
    }
}

/// Refuses many brackets within each other. Those in strings count too, which hurts no grammar that people write.
fn check_nesting(text: &str) -> Result<(), ConstraintProblem> {
    let mut nested = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => nested += 1,
            b')' | b']' | b'}' => nested = nested.saturating_sub(1),
            _ => {}
        }
        if nested > MAX_NESTED {
            return Err(ConstraintProblem::TooLarge { message: format!("more than {MAX_NESTED} nested brackets") });
        }
    }
    Ok(())
}

fn checked_mark(text: &str) -> Result<Delimiter, ConstraintProblem> {
    match text.len() {
        1..=MAX_MARK => Ok(Delimiter::new(text)),
        bytes => {
            let message = format!("the mark before it has {bytes} bytes, but must have from 1 to {MAX_MARK}");
            Err(ConstraintProblem::Invalid { message })
        }
    }
}

/// What the library says of a grammar, in a line.
fn refused(error: &anyhow::Error) -> ConstraintProblem {
    /// Of an error that quotes the grammar.
    const LONGEST: usize = 400;
    let text = format!("{error:#}");
    if text.contains("oneOf constraints are not supported") {
        return ConstraintProblem::Unsupported { keyword: "oneOf".into(), at: String::new() };
    }
    let message: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect();
    ConstraintProblem::Invalid { message: format!("it cannot be used: {message}") }
}
