//! What cannot fit a context is refused before it is encoded: encoding takes some 300 bytes of memory for each byte of
//! text, and a client may send megabytes.

use super::{TextError, TextModel};

/// Bytes that are encoded at once to count tokens, and up to which a text is encoded without counting first.
const PIECE: usize = 64 << 10;

impl TextModel {
    /// Refuses a text that cannot be encoded in `most` tokens, at little cost.
    ///
    /// # Errors
    /// [`TextError::TooLong`].
    pub(super) fn check_length(&self, text: &str, most: usize) -> Result<(), TextError> {
        self.check_bytes(text.len(), most)?;
        if text.len() <= PIECE || text.len() <= most {
            return Ok(());
        }
        let mut counted = 0;
        for piece in pieces(text) {
            let tokens = self.pieces.tokenizer.encode_fast(piece, false).map_err(TextError::Encode)?.len();
            // A token that is cut in two is at most its bytes.
            counted += tokens.saturating_sub(self.longest);
            if counted > most {
                return Err(TextError::TooLong { bytes: text.len(), least: counted, most });
            }
        }
        Ok(())
    }

    /// The same for texts of this many bytes together: each token is at most the vocabulary's longest.
    pub(super) fn check_bytes(&self, bytes: usize, most: usize) -> Result<(), TextError> {
        let least = bytes.div_ceil(self.longest.max(1));
        if least > most { Err(TextError::TooLong { bytes, least, most }) } else { Ok(()) }
    }
}

/// The text in pieces of whole characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::{Chat, ChatMessage, TextError, text::tests::demo};

    #[test]
    fn what_can_never_fit_is_refused_by_its_bytes_and_the_rest_by_a_count_that_ends_early() {
        let text = demo();
        let digits = "7".repeat(4_000_000);
        let refused = text.chat_tokens(1024, &Chat::new(vec![ChatMessage::new("user", digits.clone())])).unwrap_err();
        let TextError::TooLong { bytes: 4_000_000, least, most: 1024 } = refused else { panic!("{refused:?}") };
        assert!(least > 1024 && least < 4_000_000);
        // A context that it could fit by its bytes, since some tokens are long.
        let context = digits.len() / 4;
        let refused = text.encode_for(context, &digits, false).unwrap_err();
        let TextError::TooLong { least, .. } = refused else { panic!("{refused:?}") };
        assert!(least > context && least < context + (64 << 10), "it stopped counting: {least}");
    }

    #[test]
    fn what_fits_is_encoded_as_ever() {
        let text = demo();
        let long = "The quick brown fox jumps over the lazy dog, 19 times. ".repeat(4000);
        let tokens = text.encode(&long, false).unwrap();
        assert_eq!(text.encode_for(tokens.len(), &long, false).unwrap(), tokens);
        assert!(matches!(text.encode_for(tokens.len() / 2, &long, false), Err(TextError::TooLong { .. })));
    }
}
