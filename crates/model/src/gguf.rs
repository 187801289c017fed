//! The header of a GGUF file: metadata and where tensors lie
//! (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3).
//!
//! Every count and length in the file is checked against what is left of it before memory is taken.

use std::collections::HashMap;
use std::io::{self, Read};

/// Tensors that a file may announce; the largest models have some 2,000.
const MAX_TENSORS: u64 = 100_000;
/// Entries of metadata that a file may announce; real ones have about 50.
const MAX_ENTRIES: u64 = 100_000;
/// Dimensions of a tensor, as in ggml.
const MAX_DIMENSIONS: u32 = 4;
/// Arrays within arrays. Real files have none.
const MAX_DEPTH: usize = 8;
/// Tensors begin at multiples of this many bytes, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names say all")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Vec<Value>),
}

impl Value {
    /// Any unsigned integer, or a flag as 0 or 1.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::U8(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::U32(value) => Some(value.into()),
            Value::U64(value) => Some(value),
            Value::Bool(value) => Some(value.into()),
            _ => None,
        }
    }

    /// Any whole number that is not negative, as some writers store sizes as signed numbers.
    pub(crate) fn as_number(&self) -> Option<u64> {
        match *self {
            Value::I8(value) => value.try_into().ok(),
            Value::I16(value) => value.try_into().ok(),
            Value::I32(value) => value.try_into().ok(),
            Value::I64(value) => value.try_into().ok(),
            ref other => other.as_u64(),
        }
    }

    /// A number of 32 bits.
    pub fn as_f32(&self) -> Option<f32> {
        if let Value::F32(value) = *self { Some(value) } else { None }
    }

    /// A flag.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = *self { Some(value) } else { None }
    }

    /// Text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(value) = self { Some(value) } else { None }
    }

    /// A list.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(values) = self { Some(values) } else { None }
    }
}

/// A tensor in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorInfo {
    /// ggml's number of the element type.
    pub(crate) ggml_type: u32,
    /// Rows before columns: the file lists dimensions the other way round.
    pub(crate) shape: Vec<usize>,
    /// First byte behind [`Content::data_offset`].
    pub(crate) offset: u64,
}

/// The header of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Content {
    /// The metadata by key.
    pub metadata: HashMap<String, Value>,
    pub(crate) tensors: HashMap<String, TensorInfo>,
    /// First byte of the tensors' data in the file.
    pub(crate) data_offset: u64,
}

impl Content {
    /// Metadata without tensors.
    pub fn of_metadata(metadata: HashMap<String, Value>) -> Self {
        Content { metadata, ..Content::default() }
    }

    /// Reads the header of a file that is `length` bytes long.
    ///
    /// # Errors
    /// The file is shorter than its header says, or holds what the format does not allow.
    pub(crate) fn read(reader: impl Read, length: u64) -> io::Result<Self> {
        let mut header = Header { reader, at: 0, length };
        if header.bytes(4)? != b"GGUF" {
            return Err(invalid("it does not start with GGUF"));
        }
        let version = header.u32()?;
        if (2..=3).contains(&version.swap_bytes()) {
            return Err(invalid("it is big-endian: only little-endian files are read"));
        }
        if !(2..=3).contains(&version) {
            return Err(invalid(format!("it has the version {version}, expected 2 or 3")));
        }
        let (tensors, entries) = (header.u64()?, header.u64()?);
        if tensors > MAX_TENSORS.min(length) || entries > MAX_ENTRIES.min(length) {
            return Err(invalid(format!("it announces {tensors} tensors and {entries} entries of metadata")));
        }
        let mut content = Content::default();
        for _ in 0..entries {
            let (key, kind) = (header.string()?, header.u32()?);
            let value = header.value(kind, 0)?;
            content.metadata.insert(key, value);
        }
        for _ in 0..tensors {
            let name = header.string()?;
            let dimensions = header.u32()?;
            if dimensions > MAX_DIMENSIONS {
                return Err(invalid(format!("tensor {name} has {dimensions} dimensions")));
            }
            let mut shape = (0..dimensions).map(|_| header.size()).collect::<io::Result<Vec<_>>>()?;
            shape.reverse();
            let info = TensorInfo { ggml_type: header.u32()?, shape, offset: header.u64()? };
            content.tensors.insert(name, info);
        }
        let alignment = match content.metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(value) => value
                .as_u64()
                .filter(|alignment| alignment.is_power_of_two() && *alignment <= 1 << 20)
                .ok_or_else(|| invalid(format!("general.alignment is {value:?}, expected a power of two")))?,
        };
        content.data_offset = header.at.next_multiple_of(alignment);
        Ok(content)
    }
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// A header under way.
struct Header<R> {
    reader: R,
    /// Bytes read.
    at: u64,
    /// Bytes of the whole file.
    length: u64,
}

impl<R: Read> Header<R> {
    fn left(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        if count > self.left() {
            return Err(invalid(format!("{count} bytes are announced at byte {}, {} are left", self.at, self.left())));
        }
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes)?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|_| invalid(format!("it ends at byte {}", self.length)))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn size(&mut self) -> io::Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| invalid("a dimension does not fit this machine's words"))
    }

    /// Text; some writers end it with zeros, and not all write valid UTF-8.
    fn string(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        let mut bytes = self.bytes(length)?;
        while bytes.pop_if(|byte| *byte == 0).is_some() {}
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, kind: u32, depth: usize) -> io::Result<Value> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array()?)),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => match self.array::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(invalid(format!("a flag is {other}, expected 0 or 1"))),
            },
            8 => Value::String(self.string()?),
            9 => {
                if depth == MAX_DEPTH {
                    return Err(invalid(format!("arrays lie in one another {MAX_DEPTH} deep")));
                }
                let (kind, count) = (self.u32()?, self.u64()?);
                // Every element takes a byte at least.
                if count > self.left() {
                    return Err(invalid(format!(
                        "an array of {count} elements is announced, {} bytes are left",
                        self.left()
                    )));
                }
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(kind, depth + 1)?);
                }
                Value::Array(values)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => return Err(invalid(format!("a value has the type {other}, expected 0 to 12"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    fn start(version: u32, tensors: u64, entries: u64) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        bytes
    }

    /// A file with an entry of each kind that matters, and one tensor of 2 × 3.
    fn file() -> Vec<u8> {
        let mut bytes = start(3, 1, 3);
        text(&mut bytes, "name");
        bytes.extend(8u32.to_le_bytes());
        text(&mut bytes, "a model\0");
        text(&mut bytes, "list");
        bytes.extend(9u32.to_le_bytes());
        bytes.extend(5u32.to_le_bytes());
        bytes.extend(2u64.to_le_bytes());
        bytes.extend((-1i32).to_le_bytes());
        bytes.extend(7i32.to_le_bytes());
        text(&mut bytes, "general.alignment");
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(64u32.to_le_bytes());
        text(&mut bytes, "weights");
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(3u64.to_le_bytes());
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(30u32.to_le_bytes());
        bytes.extend(128u64.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<Content> {
        Content::read(bytes, bytes.len() as u64)
    }

    #[test]
    fn a_big_endian_file_is_said_to_be_one() {
        let error = read(&start(3u32.swap_bytes(), 0, 0)).unwrap_err();
        assert!(error.to_string().contains("big-endian"), "{error}");
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let (bytes, content) = (file(), read(&file()).unwrap());
        assert_eq!(content.metadata["name"].as_str(), Some("a model"));
        assert_eq!(content.metadata["list"].as_array(), Some([Value::I32(-1), Value::I32(7)].as_slice()));
        let expected = TensorInfo { ggml_type: 30, shape: vec![2, 3], offset: 128 };
        assert_eq!(content.tensors["weights"], expected);
        assert_eq!(content.data_offset, bytes.len().next_multiple_of(64) as u64);
    }

    #[test]
    fn a_header_cut_anywhere_is_refused() {
        let bytes = file();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn what_the_file_cannot_hold_takes_no_memory() {
        let with = |kind: u32, rest: &[u64]| {
            let mut bytes = start(3, 0, 1);
            text(&mut bytes, "key");
            bytes.extend(kind.to_le_bytes());
            rest.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
            bytes
        };
        let mut array = with(9, &[]);
        array.extend(0u32.to_le_bytes());
        array.extend((1u64 << 40).to_le_bytes());
        let mut nested = with(9, &[]);
        for _ in 0..100 {
            nested.extend(9u32.to_le_bytes());
            nested.extend(1u64.to_le_bytes());
        }
        for (bytes, reason) in [
            (start(1, 0, 0), "version 1"),
            (start(3, 1 << 40, 0), "announces"),
            (start(3, 0, 1 << 40), "announces"),
            (with(8, &[1 << 40]), "bytes are announced"),
            (array, "an array"),
            (nested, "deep"),
            (with(13, &[]), "type 13"),
            (with(7, &[2]), "flag is 2"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
