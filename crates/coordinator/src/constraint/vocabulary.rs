//! A model's tokens in the form in which grammars are matched against them.

use super::ConstraintProblem;
use gogrid_model::TextModel;
use llguidance::{
    ParserFactory,
    api::ParserLimits,
    earley::SlicedBiasComputer,
    toktrie::{ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie},
};
use std::sync::Arc;

/// What one constraint may cost. The library counts its work, so that the same request comes to the same end on any
/// machine. The rates are the library's own figures.
fn limits() -> ParserLimits {
    ParserLimits {
        // items of one place in the text: an unambiguous grammar has some ten
        max_items_in_row: 500,
        // 50,000 a millisecond
        initial_lexer_fuel: 1_000_000,
        // 14,000 a millisecond, for one token's set
        step_lexer_fuel: 200_000,
        // 20,000 a millisecond, for one token's set
        step_max_items: 50_000,
        // 1 to 2 KiB each
        max_lexer_states: 20_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

/// A model's tokens as a trie.
pub(super) struct Vocabulary {
    pub(super) factory: ParserFactory,
    /// Ids, those without a token among them.
    pub(super) size: usize,
    pub(super) eos: Vec<u32>,
}

impl Vocabulary {
    /// Builds the trie of a vocabulary of `size` ids: some hundred milliseconds for 150,000 tokens. Blocks.
    ///
    /// A special token gets the library's mark in front of its text, a byte that is in no UTF-8: so it matches only where a
    /// grammar names it.
    ///
    /// # Errors
    /// The library refuses the vocabulary.
    pub(super) fn new(text: &TextModel, size: usize) -> Result<Self, ConstraintProblem> {
        let piece = |token: u32| {
            let bytes = text.token_bytes(token);
            match text.is_special(token) || text.is_eos(token) {
                true if !bytes.is_empty() => [&[TokTrie::SPECIAL_TOKEN_MARKER][..], &bytes].concat(),
                _ => bytes,
            }
        };
        let ids = u32::try_from(size).unwrap_or(u32::MAX);
        let pieces: Vec<Vec<u8>> = (0..ids).map(piece).collect();
        Self::of_pieces(&pieces, text.eos().iter().copied().filter(|&token| token < ids).collect())
    }

    /// The vocabulary of these tokens, by their ids; special ones with the library's mark in front.
    pub(super) fn of_pieces(pieces: &[Vec<u8>], eos: Vec<u32>) -> Result<Self, ConstraintProblem> {
        let (size, ids) = (pieces.len(), u32::try_from(pieces.len()).unwrap_or(u32::MAX));
        let mut trie = TokTrie::from(&TokRxInfo::new(ids, eos.first().copied().unwrap_or(INVALID_TOKEN)), pieces);
        if !eos.is_empty() {
            trie = trie.with_eos_tokens(&eos);
        }
        // Not canonical: any tokens that write an allowed text are allowed.
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let refused = |error: anyhow::Error| ConstraintProblem::Invalid { message: error.to_string() };
        let mut factory =
            ParserFactory::new(&environment, InferenceCapabilities::default(), &slices).map_err(refused)?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory, size, eos })
    }

    fn trie(&self) -> &TokTrie {
        self.factory.tok_env().tok_trie()
    }

    /// A token's text, a special token's too.
    pub(super) fn piece(&self, token: u32) -> &[u8] {
        let bytes = if (token as usize) < self.size { self.trie().token(token) } else { &[] };
        bytes.strip_prefix(&[TokTrie::SPECIAL_TOKEN_MARKER]).unwrap_or(bytes)
    }

    /// All tokens' texts, by their ids.
    pub(super) fn pieces(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.size).map(|token| self.piece(token as u32))
    }
}
