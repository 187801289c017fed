use std::{io, path::Path};

/// Characters of the folder's hash in the name: 128 bits, so that no two folders share a pipe.
const HASH: usize = 32;

/// The named pipe of the worker whose data lies in this folder: pipes have names of their own, outside of any folder.
///
/// # Errors
/// When the folder is not there.
pub fn pipe_name(data: &Path) -> io::Result<String> {
    let folder = std::fs::canonicalize(data)?;
    let hash = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
    Ok(format!(r"\\.\pipe\gogrid-{}", &hash[..HASH]))
}
