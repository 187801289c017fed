//! A GGUF file, or the files that one was split into: `NAME-00001-of-00003.gguf` and so on, of which the first has the
//! metadata and each its own tensors.

use super::super::SourceError;
use crate::gguf::{Content, Value};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The most files of a model: the numbers in their names have five digits.
const MAX_PARTS: u64 = 99_999;

/// A file and its header.
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Bytes of the file.
    pub(super) length: u64,
    pub(super) content: Content,
}

/// Reads the headers of all files of a model, the first one's first. `path` is any of them.
pub(super) fn open(path: &Path) -> Result<Vec<Part>, SourceError> {
    const COUNT: &str = "split.count";
    let found = header(path)?;
    let number = |part: &Part, key: &str| part.content.metadata.get(key).and_then(Value::as_number);
    let Some(count) = number(&found, COUNT).filter(|count| *count > 1) else { return Ok(vec![found]) };
    let damaged = |path: &Path, reason: String| SourceError::Damaged { path: path.to_owned(), reason };
    let place = number(&found, "split.no").unwrap_or(0);
    let names = names(path, place, count).ok_or_else(|| {
        let expected = format!("\"-{:05}-of-{count:05}.gguf\"", place + 1);
        damaged(path, format!("it is part {} of {count}, and its name does not end in {expected}", place + 1))
    })?;
    let parts = names.iter().map(|path| header(path)).collect::<Result<Vec<_>, _>>()?;
    for (at, part) in parts.iter().enumerate() {
        let (place, of) = (number(part, "split.no"), number(part, COUNT));
        if (place, of) != (Some(at as u64), Some(count)) {
            let reason = format!("it says that it is another part than {} of {count}", at + 1);
            return Err(damaged(&part.path, reason));
        }
    }
    Ok(parts)
}

fn header(path: &Path) -> Result<Part, SourceError> {
    let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let content = Content::read(BufReader::new(file), length);
    let content = content.map_err(|error| SourceError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Part { path: path.to_owned(), length, content })
}

/// The names of all parts; `None` if this part's is not one of a part.
fn names(path: &Path, place: u64, count: u64) -> Option<Vec<PathBuf>> {
    if count > MAX_PARTS {
        return None;
    }
    let ending = |place: u64| format!("-{:05}-of-{count:05}.gguf", place + 1);
    let name = path.file_name()?.to_str()?.strip_suffix(&ending(place))?;
    Some((0..count).map(|place| path.with_file_name(format!("{name}{}", ending(place)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_parts_follow_from_one() {
        let found = names(Path::new("models/a-b-00002-of-00003.gguf"), 1, 3).unwrap();
        assert_eq!(found, [1, 2, 3].map(|part| PathBuf::from(format!("models/a-b-0000{part}-of-00003.gguf"))));
        assert_eq!(names(Path::new("a-00002-of-00003.gguf"), 0, 3), None);
        assert_eq!(names(Path::new("model.gguf"), 0, 2), None);
        assert_eq!(names(Path::new("a-00001-of-99999999.gguf"), 0, 99_999_999), None);
    }
}
