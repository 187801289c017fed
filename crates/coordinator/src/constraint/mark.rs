//! Looks for the text behind which a constraint begins, token by token.
//!
//! The constraint begins with a token of its own: a token that would reach past the mark's end is not allowed. Other tokens
//! write the same text.

use gogrid_model::TokenSet;
use std::{collections::HashMap, sync::Arc};

/// The search for a mark in the text so far, with the automaton of Knuth, Morris and Pratt.
#[derive(Debug)]
pub(super) struct Delimiter {
    bytes: Vec<u8>,
    /// For each count of bytes that match: how many still match once the next one does not.
    fallback: Vec<usize>,
    /// Bytes of the mark that the text ends in.
    matched: usize,
    /// By `matched`: the tokens that do not reach past the mark's end.
    within: HashMap<usize, Arc<TokenSet>>,
}

/// Where the search is after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MatchState {
    /// This many bytes match.
    Within(usize),
    /// The mark ended with the last byte.
    End,
    /// The mark ended before the last byte.
    Past,
}

impl Delimiter {
    /// The search for a text of at least one byte.
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut fallback = vec![0; bytes.len().max(1)];
        for count in 2..bytes.len() {
            let mut matched: usize = fallback[count - 1];
            while matched > 0 && bytes[matched] != bytes[count - 1] {
                matched = fallback[matched];
            }
            fallback[count] = matched + usize::from(bytes[matched] == bytes[count - 1]);
        }
        Self { bytes, fallback, matched: 0, within: HashMap::new() }
    }

    fn state(&self, mut matched: usize, piece: &[u8]) -> MatchState {
        for (index, byte) in piece.iter().enumerate() {
            while matched > 0 && self.bytes[matched] != *byte {
                matched = self.fallback[matched];
            }
            matched += usize::from(self.bytes[matched] == *byte);
            if matched == self.bytes.len() {
                return if index + 1 == piece.len() { MatchState::End } else { MatchState::Past };
            }
        }
        MatchState::Within(matched)
    }

    /// The tokens that do not reach past the mark's end. `pieces` are all tokens' bytes, by their ids.
    pub(super) fn within<'a>(&mut self, pieces: impl ExactSizeIterator<Item = &'a [u8]>) -> Arc<TokenSet> {
        if let Some(known) = self.within.get(&self.matched) {
            return Arc::clone(known);
        }
        let vocabulary = pieces.len();
        let stays = |(_, piece): &(u32, &[u8])| self.state(self.matched, piece) != MatchState::Past;
        let tokens = (0..).zip(pieces).filter(stays).map(|(token, _)| token);
        let set = Arc::new(TokenSet::new(vocabulary, tokens));
        self.within.insert(self.matched, Arc::clone(&set));
        set
    }

    /// Takes in a token's bytes; whether the mark ends with them.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        match self.state(self.matched, piece) {
            MatchState::Within(matched) => {
                self.matched = matched;
                false
            }
            MatchState::End | MatchState::Past => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_of_the_whole_text_finds(
            mark in "[ab]{1,5}",
            pieces in prop::collection::vec("[abc]{0,4}", 1..12),
            tokens in prop::collection::vec("[abc]{0,6}", 1..12),
        ) {
            let mut search = Delimiter::new(&mark);
            let mut text = String::new();
            for piece in pieces {
                let bytes: Vec<&[u8]> = tokens.iter().map(String::as_bytes).collect();
                let within = search.within(bytes.into_iter());
                for (id, token) in (0..).zip(&tokens) {
                    let all = format!("{text}{token}");
                    let reaches_past = all.find(&mark).is_some_and(|at| at + mark.len() < all.len());
                    prop_assert_eq!(within.contains(id), !reaches_past, "{} {} {}", mark, text, token);
                }
                text.push_str(&piece);
                let found = text.find(&mark);
                prop_assert_eq!(search.push(piece.as_bytes()), found.is_some());
                if found.is_some() {
                    break;
                }
            }
        }
    }
}
