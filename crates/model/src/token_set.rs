//! A set of tokens of one vocabulary: those that may come next where an answer is constrained.
//!
//! In memory it is a bitmask. To travel, it is written in the shortest of three forms, as usually few tokens or nearly all
//! of them are allowed. The first byte says which:
//!
//! | first byte | what follows |
//! |---|---|
//! | 0 | the bitmask, one bit a token, the lowest bit of the first byte for token 0 |
//! | 1 | the tokens of the set, each as its distance from the token after the one before (LEB128) |
//! | 2 | the tokens that are not in the set, in the same way |

use std::fmt;

/// Bits of a word.
const WORD: usize = u32::BITS as usize;
const BITMASK: u8 = 0;
const MEMBERS: u8 = 1;
const OTHERS: u8 = 2;

/// A set of tokens of one vocabulary.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSet {
    /// Token `t` is bit `t % 32` of word `t / 32`; bits past the vocabulary are 0.
    words: Vec<u32>,
    vocabulary: usize,
}

/// Bytes that are no set of tokens of a vocabulary. They come from another machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenSetError {
    /// More bytes than any set takes.
    #[error("a set of {bytes} bytes, but {most} are enough for any of {vocabulary} tokens")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The most that may be.
        most: usize,
        /// The vocabulary's size.
        vocabulary: usize,
    },
    /// The form is not known, or its bytes break off.
    #[error("bytes that are in no known form")]
    Form,
    /// A token is not in the vocabulary.
    #[error("a token outside the vocabulary of {vocabulary} tokens")]
    OutOfVocabulary {
        /// The vocabulary's size.
        vocabulary: usize,
    },
}

impl TokenSet {
    /// The set of these tokens; those that the vocabulary does not have are left out.
    pub fn new(vocabulary: usize, tokens: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self { words: vec![0; vocabulary.div_ceil(WORD)], vocabulary };
        tokens.into_iter().filter(|&token| (token as usize) < vocabulary).for_each(|token| set.insert(token));
        set
    }

    /// The set with this bitmask, in the layout of [`words`](Self::words). What is missing at its end is 0, and what is
    /// past the vocabulary is left out.
    pub fn from_words(vocabulary: usize, mut words: Vec<u32>) -> Self {
        words.resize(vocabulary.div_ceil(WORD), 0);
        if let Some(last) = words.last_mut().filter(|_| !vocabulary.is_multiple_of(WORD)) {
            *last &= (1 << (vocabulary % WORD)) - 1;
        }
        Self { words, vocabulary }
    }

    /// The bitmask: token `t` is bit `t % 32` of word `t / 32`. Bits past the vocabulary are 0.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Adds a token of the vocabulary.
    pub fn insert(&mut self, token: u32) {
        debug_assert!((token as usize) < self.vocabulary);
        self.words[token as usize / WORD] |= 1 << (token as usize % WORD);
    }

    /// Takes a token out, if it is in.
    pub fn remove(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / WORD) {
            *word &= !(1 << (token as usize % WORD));
        }
    }

    /// Whether a token is in the set.
    pub fn contains(&self, token: u32) -> bool {
        let word = self.words.get(token as usize / WORD).copied().unwrap_or(0);
        word >> (token as usize % WORD) & 1 == 1
    }

    /// How many tokens are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The tokens in ascending order.
    pub fn tokens(&self) -> impl Iterator<Item = u32> + '_ {
        Self::bits(&self.words, |word| word)
    }

    /// The bits that are set in `words` after a change to each.
    fn bits(words: &[u32], change: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
        (0u32..).step_by(WORD).zip(words).flat_map(move |(first, &word)| {
            let mut left = change(word);
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(first + bit)
            })
        })
    }

    /// The shortest form of the set.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bitmask = self.vocabulary.div_ceil(8);
        let (inside, vocabulary) = (self.count(), self.vocabulary as u32);
        // a distance takes a byte at least
        let (form, listed) =
            if inside <= self.vocabulary / 2 { (MEMBERS, inside) } else { (OTHERS, self.vocabulary - inside) };
        if listed < bitmask {
            let mut bytes = vec![form];
            if form == MEMBERS {
                distances(self.tokens(), &mut bytes);
            } else {
                let others = Self::bits(&self.words, |word| !word);
                distances(others.take_while(|&token| token < vocabulary), &mut bytes);
            }
            if bytes.len() <= bitmask {
                return bytes;
            }
        }
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        std::iter::once(BITMASK).chain(bytes.take(bitmask)).collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, for a vocabulary of this size.
    ///
    /// # Errors
    /// Bytes that are no set of tokens of this vocabulary.
    pub fn from_bytes(bytes: &[u8], vocabulary: usize) -> Result<Self, TokenSetError> {
        let bitmask = vocabulary.div_ceil(8);
        if bytes.len() > bitmask + 1 {
            return Err(TokenSetError::TooLong { bytes: bytes.len(), most: bitmask + 1, vocabulary });
        }
        let (&form, rest) = bytes.split_first().ok_or(TokenSetError::Form)?;
        match form {
            BITMASK if rest.len() == bitmask => {
                let word = |part: &[u8]| part.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
                let set = Self { words: rest.chunks(WORD / 8).map(word).collect(), vocabulary };
                match Self::from_words(vocabulary, set.words.clone()) == set {
                    true => Ok(set),
                    false => Err(TokenSetError::OutOfVocabulary { vocabulary }),
                }
            }
            MEMBERS | OTHERS => {
                let fill = if form == MEMBERS { 0 } else { u32::MAX };
                let mut set = Self::from_words(vocabulary, vec![fill; vocabulary.div_ceil(WORD)]);
                let (mut rest, mut next) = (rest, 0u64);
                while !rest.is_empty() {
                    next += read_distance(&mut rest).ok_or(TokenSetError::Form)?;
                    if next >= vocabulary as u64 {
                        return Err(TokenSetError::OutOfVocabulary { vocabulary });
                    }
                    let token = next as u32;
                    if form == MEMBERS {
                        set.insert(token);
                    } else {
                        set.remove(token);
                    }
                    next += 1;
                }
                Ok(set)
            }
            _ => Err(TokenSetError::Form),
        }
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSet({} of {} tokens)", self.count(), self.vocabulary)
    }
}

/// Appends each token's distance from the token after the one before, in LEB128.
fn distances(tokens: impl Iterator<Item = u32>, bytes: &mut Vec<u8>) {
    let mut next = 0;
    for token in tokens {
        let mut distance = token - next;
        while distance >= 0x80 {
            bytes.push(distance as u8 | 0x80);
            distance >>= 7;
        }
        bytes.push(distance as u8);
        next = token + 1;
    }
}

/// Takes one distance off the front; `None` where it breaks off or is longer than any.
fn read_distance(bytes: &mut &[u8]) -> Option<u64> {
    let mut distance = 0;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        distance |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(distance);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Vocabularies with few, half and nearly all tokens in the set.
    fn sets() -> impl Strategy<Value = (usize, BTreeSet<u32>)> {
        (1usize..700, 0u8..=4).prop_flat_map(|(vocabulary, quarters)| {
            let member = prop::bool::weighted(f64::from(quarters) / 4.0 * 0.98 + 0.01);
            let members = prop::collection::vec(member, vocabulary);
            members.prop_map(move |members| {
                let tokens = (0..).zip(members).filter(|(_, member)| *member).map(|(token, _)| token);
                (vocabulary, tokens.collect())
            })
        })
    }

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_travels((vocabulary, tokens) in sets()) {
            let set = TokenSet::new(vocabulary, tokens.iter().copied());
            prop_assert_eq!(set.count(), tokens.len());
            for token in 0..vocabulary as u32 + 40 {
                prop_assert_eq!(set.contains(token), tokens.contains(&token));
            }
            prop_assert_eq!(set.tokens().collect::<BTreeSet<_>>(), tokens);
            let bytes = set.to_bytes();
            prop_assert!(bytes.len() <= vocabulary.div_ceil(8) + 1);
            prop_assert_eq!(TokenSet::from_bytes(&bytes, vocabulary), Ok(set.clone()));
            prop_assert_eq!(TokenSet::from_words(vocabulary, set.words().to_vec()), set);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), vocabulary in 1usize..600) {
            if let Ok(set) = TokenSet::from_bytes(&bytes, vocabulary) {
                prop_assert!(set.tokens().all(|token| (token as usize) < vocabulary));
            }
        }
    }

    #[test]
    fn few_tokens_and_nearly_all_take_few_bytes() {
        let vocabulary = 151_936;
        let few = [3, 90, 151_935];
        assert_eq!(TokenSet::new(vocabulary, few).to_bytes(), [1, 3, 86, 0xA4, 0xA2, 9]);
        let all = TokenSet::new(vocabulary, 0..vocabulary as u32);
        assert_eq!(all.to_bytes(), [2]);
        let every_other = TokenSet::new(vocabulary, (0..vocabulary as u32).step_by(2));
        assert_eq!(every_other.to_bytes().len(), vocabulary / 8 + 1);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let read = |bytes: &[u8]| TokenSet::from_bytes(bytes, 12).unwrap_err();
        assert_eq!(read(&[]), TokenSetError::Form);
        assert_eq!(read(&[3]), TokenSetError::Form);
        assert_eq!(read(&[0, 1]), TokenSetError::Form);
        assert_eq!(read(&[1, 0x80]), TokenSetError::Form);
        assert_eq!(read(&[0, 1, 0xF0]), TokenSetError::OutOfVocabulary { vocabulary: 12 });
        assert_eq!(read(&[1, 12]), TokenSetError::OutOfVocabulary { vocabulary: 12 });
        assert_eq!(read(&[2, 11, 0]), TokenSetError::OutOfVocabulary { vocabulary: 12 });
        assert_eq!(read(&[1, 0, 0, 0]), TokenSetError::TooLong { bytes: 4, most: 3, vocabulary: 12 });
    }
}
