use super::KeyRecord;
use std::fmt;

/// Marks the text as a key of this program, for people and for scanners of leaked secrets.
const MARK: &str = "gg-";
/// Characters of the part that is shown.
const PREFIX: usize = 8;
/// Characters of the part that is not: 165 random bits.
const HIDDEN: usize = 33;
/// Without characters that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new key, whole. It is shown once; nothing of it but prefix and hash is stored.
pub struct Secret(String);

impl Secret {
    /// A random one.
    pub fn random() -> Self {
        let letters = || char::from(ALPHABET[usize::from(rand::random::<u8>() & 31)]);
        let part = |length: usize| (0..length).map(|_| letters()).collect::<String>();
        Self(format!("{MARK}{}-{}", part(PREFIX), part(HIDDEN)))
    }

    /// The part that is shown, with the mark.
    pub fn prefix(&self) -> &str {
        &self.0[..MARK.len() + PREFIX]
    }

    /// The hash that is stored.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }

    /// The whole text, for its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").field(&self.prefix()).finish()
    }
}

/// The hash of a key's text. Keys are random, so that a fast hash is as good as a slow one.
pub(super) fn hash(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

impl KeyRecord {
    /// Whether a text is this key.
    pub fn is(&self, key: &str) -> bool {
        blake3::Hash::from_bytes(self.hash) == blake3::hash(key.as_bytes())
    }
}
