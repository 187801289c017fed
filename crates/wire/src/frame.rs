//! Frames: `header length (u32 LE) · body length (u32 LE) · header (postcard) · body (raw)`.
//!
//! The header is a message. The body is bulk data that needs no encoding (token ids, activations, a manifest), as raw
//! little-endian bytes. Both lengths are checked against the protocol's [`Bounds`] before anything is allocated.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes before the header.
pub const PREFIX_BYTES: usize = 8;

/// The largest frame of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Largest header, in bytes.
    pub header: u32,
    /// Largest body, in bytes.
    pub body: u32,
}

impl Bounds {
    /// Control frames: the largest body is a stage's manifest (about 150 bytes a tensor; a 70B model has 723).
    pub const CONTROL: Self = Self { header: 64 << 10, body: 8 << 20 };
    /// Stage frames. The largest body is a prefill chunk's activations (1,024 tokens × 16,384 × f32). The largest header
    /// is a batch of candidate rows, or the token ids that a penalty asks for.
    pub const STAGE: Self = Self { header: 4 << 20, body: 64 << 20 };
    /// Weights frames: a hash and a number, or a part of a tensor.
    pub const WEIGHTS: Self = Self { header: 64, body: crate::weights::PART_BYTES as u32 };
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header is longer than the protocol allows.
    #[error("the frame's header has {bytes} bytes; at most {bound} are allowed")]
    HeaderTooLong {
        /// Its length.
        bytes: u32,
        /// The bound.
        bound: u32,
    },
    /// The body is longer than the protocol allows.
    #[error("the frame's body has {bytes} bytes; at most {bound} are allowed")]
    BodyTooLong {
        /// Its length.
        bytes: u32,
        /// The bound.
        bound: u32,
    },
    /// The header is not a message of the protocol.
    #[error("the frame's header is no message of this protocol")]
    BadHeader(#[source] postcard::Error),
    /// The header has bytes after its message.
    #[error("the frame's header has {0} bytes after its message")]
    TrailingBytes(usize),
    /// The body's length differs from what the header says.
    #[error("the frame's body has {bytes} bytes, but its header describes {described}")]
    BodyLength {
        /// Its length.
        bytes: usize,
        /// The length that the header describes.
        described: usize,
    },
}

/// Encodes a message and its body as one frame.
///
/// # Errors
/// When header or body is longer than `bounds` allow.
pub fn encode<H: Serialize>(header: &H, body: &[u8], bounds: Bounds) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(PREFIX_BYTES + 64 + body.len());
    frame.resize(PREFIX_BYTES, 0);
    let mut frame = postcard::to_extend(header, frame).map_err(FrameError::BadHeader)?;
    let header_bytes = u32::try_from(frame.len() - PREFIX_BYTES).unwrap_or(u32::MAX);
    let body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    check(header_bytes, body_bytes, bounds)?;
    frame[..4].copy_from_slice(&header_bytes.to_le_bytes());
    frame[4..PREFIX_BYTES].copy_from_slice(&body_bytes.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Reads the lengths of header and body, in bytes, from a frame's first [`PREFIX_BYTES`].
///
/// # Errors
/// When either is longer than `bounds` allow.
pub fn lengths(prefix: [u8; PREFIX_BYTES], bounds: Bounds) -> Result<(usize, usize), FrameError> {
    let [a, b, c, d, e, f, g, h] = prefix;
    let (header, body) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    check(header, body, bounds)?;
    Ok((header as usize, body as usize))
}

/// Reads the message in a header.
///
/// # Errors
/// When the bytes are no such message, or have more after it.
pub fn header<H: DeserializeOwned>(bytes: &[u8]) -> Result<H, FrameError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(FrameError::BadHeader)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::TrailingBytes(rest.len())) }
}

fn check(header: u32, body: u32, bounds: Bounds) -> Result<(), FrameError> {
    if header > bounds.header {
        return Err(FrameError::HeaderTooLong { bytes: header, bound: bounds.header });
    }
    if body > bounds.body {
        return Err(FrameError::BodyTooLong { bytes: body, bound: bounds.body });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: Bounds = Bounds { header: 32, body: 16 };

    #[test]
    fn lengths_over_the_bounds_are_refused_before_reading() {
        let prefix = |h: u32, b: u32| {
            let mut p = [0; PREFIX_BYTES];
            p[..4].copy_from_slice(&h.to_le_bytes());
            p[4..].copy_from_slice(&b.to_le_bytes());
            p
        };
        assert_eq!(lengths(prefix(32, 16), SMALL), Ok((32, 16)));
        assert_eq!(lengths(prefix(33, 0), SMALL), Err(FrameError::HeaderTooLong { bytes: 33, bound: 32 }));
        assert_eq!(lengths(prefix(0, u32::MAX), SMALL), Err(FrameError::BodyTooLong { bytes: u32::MAX, bound: 16 }));
    }

    #[test]
    fn encoding_respects_the_bounds_too() {
        assert!(matches!(encode(&[0u8; 40].as_slice(), &[], SMALL), Err(FrameError::HeaderTooLong { .. })));
        assert!(matches!(encode(&1u8, &[0; 17], SMALL), Err(FrameError::BodyTooLong { .. })));
    }

    #[test]
    fn truncated_and_trailing_headers_are_told_apart() {
        let frame = encode(&(7u32, "name"), &[], SMALL).expect("fits");
        let head = &frame[PREFIX_BYTES..];
        assert!(matches!(header::<(u32, String)>(&head[..head.len() - 1]), Err(FrameError::BadHeader(_))));
        let longer = [head, &[0]].concat();
        assert_eq!(header::<(u32, String)>(&longer), Err(FrameError::TrailingBytes(1)));
    }

    proptest! {
        #[test]
        fn a_frame_reads_back(number in any::<u64>(), text in "[a-z]{0,9}", body in prop::collection::vec(any::<u8>(), 0..16)) {
            let frame = encode(&(number, &text), &body, SMALL).expect("fits");
            let (h, b) = lengths(frame[..PREFIX_BYTES].try_into().expect("8 bytes"), SMALL).expect("within bounds");
            prop_assert_eq!(b, body.len());
            prop_assert_eq!(header::<(u64, String)>(&frame[PREFIX_BYTES..PREFIX_BYTES + h]).expect("reads"), (number, text));
            prop_assert_eq!(&frame[PREFIX_BYTES + h..], &body[..]);
        }
    }
}
