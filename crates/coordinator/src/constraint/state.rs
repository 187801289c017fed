//! Follows one answer and says which tokens may come next. Blocks for as long as that takes; see [`super::pool`].

use super::{ConstraintProblem, mark::Delimiter, vocabulary::Vocabulary};
use gogrid_model::TokenSet;
use llguidance::{CancellationHandle, TokenParser, api::StopReason, panic_utils::catch_unwind};
use std::{fmt, panic::AssertUnwindSafe, sync::Arc};

/// The most memory that one answer's constraint may take, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of an item of the parser's table, with its part of the row.
const ITEM_BYTES: usize = 32;

/// What may come next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextTokens {
    /// Any token.
    Any,
    /// One of these tokens.
    Among(Arc<TokenSet>),
    /// Nothing: the text is complete.
    Complete,
}

/// One answer's constraint.
pub(crate) struct ConstraintState {
    vocabulary: Arc<Vocabulary>,
    /// What the constraint waits for.
    free: Option<Unconstrained>,
    matcher: Matcher,
    ignore_eos: bool,
}

/// The answer before the constraint begins.
#[derive(Debug)]
struct Unconstrained {
    mark: Delimiter,
    /// Whether the answer may end without it.
    may_end: bool,
}

/// The constraint itself.
struct Matcher {
    parser: TokenParser,
    /// Items of the parser's table, which are kept.
    items: usize,
}

impl ConstraintState {
    /// `parser` is fresh. With a mark the constraint begins behind it, and `may_end` says whether the answer may end
    /// without it.
    pub(super) fn new(
        vocabulary: Arc<Vocabulary>,
        mut parser: TokenParser,
        start: Option<(Delimiter, bool)>,
        ignore_eos: bool,
    ) -> Self {
        if parser.is_fresh() {
            parser.start_without_prompt();
        }
        let free = start.map(|(mark, may_end)| Unconstrained { mark, may_end });
        Self { vocabulary, free, matcher: Matcher { parser, items: 0 }, ignore_eos }
    }

    /// Ends work that another thread does with it.
    pub(super) fn cancellation(&mut self) -> CancellationHandle {
        self.matcher.parser.enable_cancellation()
    }

    /// What may come next.
    ///
    /// # Errors
    /// The constraint takes too much time or memory, or no token of the vocabulary goes on.
    pub(super) fn next(&mut self) -> Result<NextTokens, ConstraintProblem> {
        let Some(Unconstrained { mark, may_end }) = &mut self.free else {
            let set = self.matcher.next(self.vocabulary.size)?;
            return Ok(set.map_or(NextTokens::Complete, |set| self.without_end(set)));
        };
        let mut set = mark.within(self.vocabulary.pieces());
        if !*may_end && !self.ignore_eos {
            self.vocabulary.eos.iter().for_each(|&token| Arc::make_mut(&mut set).remove(token));
        }
        Ok(if set.count() == self.vocabulary.size { NextTokens::Any } else { NextTokens::Among(set) })
    }

    /// Where the end-of-sequence token does not end the answer, a text that may end there and must go on nowhere else is
    /// complete.
    fn without_end(&self, mut set: TokenSet) -> NextTokens {
        if self.ignore_eos {
            self.vocabulary.eos.iter().for_each(|&token| set.remove(token));
            if set.count() == 0 {
                return NextTokens::Complete;
            }
        }
        NextTokens::Among(Arc::new(set))
    }

    /// Takes in the token that was chosen.
    ///
    /// # Errors
    /// It was not allowed, or the constraint takes too much time or memory.
    pub(super) fn accept(&mut self, token: u32) -> Result<(), ConstraintProblem> {
        match &mut self.free {
            Some(Unconstrained { mark, .. }) => {
                if mark.push(self.vocabulary.piece(token)) {
                    self.free = None;
                }
                Ok(())
            }
            None => self.matcher.accept(token),
        }
    }
}

impl Matcher {
    fn next(&mut self, vocabulary: usize) -> Result<Option<TokenSet>, ConstraintProblem> {
        if matches!(self.parser.stop_reason(), StopReason::NoExtension | StopReason::EndOfSentence) {
            return Ok(None);
        }
        let mask = self.guarded(TokenParser::compute_mask)?;
        self.check_memory()?;
        Ok(Some(TokenSet::from_words(vocabulary, mask.into())))
    }

    fn accept(&mut self, token: u32) -> Result<(), ConstraintProblem> {
        let before = self.parser.parser_stats().all_items;
        self.guarded(|parser| {
            parser.consume_token(token)?;
            parser.check_stop()
        })?;
        self.items += self.parser.parser_stats().all_items.saturating_sub(before);
        self.check_memory()
    }

    /// Runs the library: what it says, and where it panics, becomes an error.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut TokenParser) -> anyhow::Result<T>) -> Result<T, ConstraintProblem> {
        let parser = &mut self.parser;
        catch_unwind(AssertUnwindSafe(|| work(parser))).map_err(|error| self.problem(&error))
    }

    fn problem(&self, error: &anyhow::Error) -> ConstraintProblem {
        match self.parser.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                ConstraintProblem::TooLarge { message: "a token took more work than is allowed for one".into() }
            }
            StopReason::Cancelled => ConstraintProblem::TooSlow,
            StopReason::NoExtensionBias => ConstraintProblem::Invalid {
                message: "no token of the model's vocabulary goes on from this text".into(),
            },
            _ => {
                tracing::warn!(%error, "a constraint failed");
                ConstraintProblem::Invalid { message: "it failed in the middle of the answer".into() }
            }
        }
    }

    fn check_memory(&self) -> Result<(), ConstraintProblem> {
        let bytes = self.parser.parser.lexer_stats().num_bytes + self.items * ITEM_BYTES;
        if bytes <= MAX_BYTES {
            return Ok(());
        }
        let message = format!("the answer's text took more than {} MiB to follow", MAX_BYTES >> 20);
        Err(ConstraintProblem::TooLarge { message })
    }
}

impl fmt::Debug for ConstraintState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guide").field("free", &self.free).finish_non_exhaustive()
    }
}
