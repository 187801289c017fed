use std::{io, path::Path};

/// Characters of the folder's hash in the name: 128 bits, enough that no two folders share a pipe.
const HASH: usize = 32;

/// The named pipe of the worker with this data folder. Pipes have a name space of their own, outside of all folders.
///
/// # Errors
/// If the folder does not exist.
pub fn pipe_name(data: &Path) -> io::Result<String> {
    let folder = std::fs::canonicalize(data)?;
    let hash = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
    Ok(format!(r"\\.\pipe\gogrid-{}", &hash[..HASH]))
}
