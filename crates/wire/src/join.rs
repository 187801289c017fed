use crate::{PeerId, text::is_grid_name};
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr, str::FromStr};

/// How to reach a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAddr {
    /// Its key.
    pub id: PeerId,
    /// Its direct UDP addresses.
    pub addrs: Vec<SocketAddr>,
}

/// The secret in a join code.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteToken(pub [u8; 16]);

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteToken(…)")
    }
}

/// What `gogrid invite` prints: the coordinator's key and addresses, a token that lets machines in, and the grid's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinCode {
    /// The coordinator.
    pub coordinator: PeerAddr,
    /// The secret.
    pub token: InviteToken,
    /// The grid's name when the code was made; empty in codes of older programs.
    pub grid: String,
}

/// Why a text is no join code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinCodeError {
    /// It does not start with `gogrid1-`.
    #[error("a join code starts with `{PREFIX}`")]
    Prefix,
    /// A character is not in the alphabet.
    #[error("a join code has the letters a to z and the digits 2 to 7 only, not {0:?}")]
    Character(char),
    /// Its checksum is wrong.
    #[error("this join code is incomplete or has a typing error (its checksum does not match)")]
    Checksum,
    /// It has the right checksum but no readable content.
    #[error("this join code was made by a program of another version")]
    Content,
}

const PREFIX: &str = "gogrid1-";
/// RFC 4648: no two characters look alike, and a double click selects the whole code.
const BASE32: data_encoding::Encoding = data_encoding::BASE32_NOPAD_NOCASE;
const CHECK_BYTES: usize = 4;

impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = postcard::to_allocvec(&(&self.coordinator, self.token)).map_err(|_| fmt::Error)?;
        // Older programs read what is above, and leave the rest.
        if !self.grid.is_empty() {
            bytes.extend(postcard::to_allocvec(&self.grid).map_err(|_| fmt::Error)?);
        }
        bytes.extend(checksum(&bytes));
        f.write_str(PREFIX)?;
        f.write_str(&BASE32.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for JoinCode {
    type Err = JoinCodeError;

    fn from_str(text: &str) -> Result<Self, JoinCodeError> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(JoinCodeError::Prefix)?;
        if let Some(wrong) = text.chars().find(|c| !matches!(c.to_ascii_lowercase(), 'a'..='z' | '2'..='7')) {
            return Err(JoinCodeError::Character(wrong));
        }
        let bytes = BASE32.decode(text.as_bytes()).map_err(|_| JoinCodeError::Checksum)?;
        let (content, check) =
            bytes.split_at_checked(bytes.len().wrapping_sub(CHECK_BYTES)).ok_or(JoinCodeError::Checksum)?;
        if check != checksum(content) {
            return Err(JoinCodeError::Checksum);
        }
        let (known, rest) = postcard::take_from_bytes(content).map_err(|_| JoinCodeError::Content)?;
        let (coordinator, token) = known;
        let grid = match rest {
            [] => String::new(),
            rest => postcard::from_bytes::<String>(rest)
                .ok()
                .filter(|name| is_grid_name(name))
                .ok_or(JoinCodeError::Content)?,
        };
        Ok(Self { coordinator, token, grid })
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code() -> JoinCode {
        JoinCode {
            coordinator: PeerAddr { id: PeerId([7; 32]), addrs: vec!["192.0.2.7:7450".parse().expect("address")] },
            token: InviteToken([9; 16]),
            grid: "Beispiel & Söhne".into(),
        }
    }

    #[test]
    fn a_code_reads_back_in_any_case_and_with_spaces_around() {
        let text = code().to_string();
        assert_eq!(text.parse(), Ok(code()));
        assert_eq!(text.to_uppercase().replace("GOGRID1-", "gogrid1-").parse(), Ok(code()));
        assert_eq!(format!(" {text}\n").parse(), Ok(code()));
    }

    /// What programs read and wrote before codes had a name.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nameless {
        coordinator: PeerAddr,
        token: InviteToken,
    }

    fn encoded(mut bytes: Vec<u8>) -> String {
        bytes.extend(checksum(&bytes));
        format!("{PREFIX}{}", BASE32.encode(&bytes).to_ascii_lowercase())
    }

    #[test]
    fn codes_without_a_name_stay_good_and_older_programs_read_those_with_one() {
        let JoinCode { coordinator, token, .. } = code();
        let old = Nameless { coordinator: coordinator.clone(), token };
        let bytes = postcard::to_allocvec(&old).expect("encoded");
        let nameless = JoinCode { coordinator, token, grid: String::new() };
        assert_eq!(encoded(bytes).parse(), Ok(nameless.clone()));
        assert_eq!(nameless.to_string().parse(), Ok(nameless));
        let new = BASE32.decode(&code().to_string().as_bytes()[PREFIX.len()..]).expect("base32");
        assert_eq!(postcard::from_bytes::<Nameless>(&new[..new.len() - CHECK_BYTES]), Ok(old));
    }

    #[test]
    fn a_name_that_cannot_be_shown_is_refused() {
        for name in ["a\u{202e}b", &"x".repeat(61)] {
            let JoinCode { coordinator, token, .. } = code();
            let bytes = postcard::to_allocvec(&(coordinator, token, name)).expect("encoded");
            assert_eq!(encoded(bytes).parse::<JoinCode>(), Err(JoinCodeError::Content), "{name:?}");
        }
    }

    #[test]
    fn the_secret_is_not_in_debug_output() {
        assert!(!format!("{:?}", code()).contains("9, 9"));
    }

    #[test]
    fn each_mistake_has_its_error() {
        let text = code().to_string();
        assert_eq!("hello".parse::<JoinCode>(), Err(JoinCodeError::Prefix));
        assert_eq!("gogrid1-".parse::<JoinCode>(), Err(JoinCodeError::Checksum));
        assert_eq!(format!("{text}!").parse::<JoinCode>(), Err(JoinCodeError::Character('!')));
        assert_eq!(text[..text.len() - 3].parse::<JoinCode>(), Err(JoinCodeError::Checksum));
    }

    proptest! {
        #[test]
        fn one_changed_character_is_noticed(at in 8usize..60, by in 1usize..32) {
            let text = code().to_string();
            let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
            let old = alphabet.iter().position(|a| *a == text.as_bytes()[at]).expect("in the alphabet");
            let mut changed = text.into_bytes();
            changed[at] = alphabet[(old + by) % 32];
            let changed = String::from_utf8(changed).expect("ascii");
            prop_assert_eq!(changed.parse::<JoinCode>(), Err(JoinCodeError::Checksum));
        }
    }
}
