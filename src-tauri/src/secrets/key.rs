use std::fmt;
use zeroize::Zeroizing;

/// Bytes of an ed25519 secret key.
const BYTES: usize = 32;

/// The machine's secret key. Dropping it wipes it from memory, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MachineKey(Zeroizing<[u8; BYTES]>);

impl MachineKey {
    /// A fresh key from the system's random numbers.
    ///
    /// # Errors
    /// When the system has none.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Reads its 64 hexadecimal digits.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        if digits.len() != 2 * BYTES || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Its 64 hexadecimal digits.
    pub(crate) fn to_hex(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // At its whole length, because a string that grows leaves copies behind.
        let mut digits = Zeroizing::new(String::with_capacity(2 * BYTES));
        for byte in self.0.iter() {
            digits.push(DIGITS[usize::from(byte >> 4)].into());
            digits.push(DIGITS[usize::from(byte & 15)].into());
        }
        digits
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote_and_shows_nothing() {
        let key = MachineKey::generate().unwrap();
        let digits = key.to_hex();
        assert_eq!(digits.len(), 64);
        assert_eq!(MachineKey::from_hex(&digits), Some(key.clone()));
        assert!(!format!("{key:?}").contains(&digits[..4]));
        assert_ne!(MachineKey::generate().unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(MachineKey::from_hex(text), None, "{text}");
        }
        let mixed = "0aF0".repeat(16);
        assert_eq!(MachineKey::from_hex(&mixed).unwrap().to_hex().as_str(), mixed.to_lowercase());
    }
}
