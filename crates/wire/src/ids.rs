use serde::{Deserialize, Serialize};
use std::fmt;

/// A machine's ed25519 public key. It identifies the machine on every link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub [u8; 32]);

impl PeerId {
    /// The first ten hexadecimal digits, enough for people to tell machines apart.
    pub fn short(&self) -> String {
        self.to_string()[..10].to_owned()
    }

    /// Reads what [`Display`](fmt::Display) writes: 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

/// One placement of one model's stages. Every new plan takes the next number, and frames of another epoch are refused.
///
/// The upper 32 bits are the number, which the coordinator never uses twice, so an epoch also names its stage on a
/// machine, and later epochs are greater. The lower 32 bits are random: a machine that was not told of an epoch cannot
/// name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of this number, which nobody can guess if `nonce` is random.
    pub fn new(number: u32, nonce: u32) -> Self {
        Self(u64::from(number) << 32 | u64::from(nonce))
    }

    /// Its number, which people are shown.
    pub fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// One sequence in a pipeline. Numbers never repeat, in any epoch, so a retained session cannot be taken for a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

impl SessionId {
    /// The session of that number, counted from 1, in an epoch's pipeline.
    pub fn new(epoch: Epoch, number: u32) -> Self {
        Self(u64::from(epoch.number()) << 32 | u64::from(number))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epochs_secret_part_is_not_shown_and_changes_no_order() {
        let (earlier, later) = (Epoch::new(7, u32::MAX), Epoch::new(8, 0));
        assert!(earlier < later && Epoch::new(7, 1) != Epoch::new(7, 2));
        assert_eq!((earlier.to_string(), earlier.number()), ("7".to_owned(), 7));
        assert_eq!(SessionId::new(Epoch::new(7, 3), 5), SessionId::new(earlier, 5), "sessions are told to neighbours");
        assert_ne!(SessionId::new(earlier, 5), SessionId::new(later, 5));
    }

    #[test]
    fn peer_id_reads_what_it_writes() {
        let id = PeerId(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(PeerId::from_hex(&id.to_string()), Some(id));
        assert_eq!(PeerId::from_hex("00"), None);
        assert_eq!(PeerId::from_hex(&"é".repeat(32)), None);
    }
}
