use std::{
    fs::{self, DirEntry},
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// What the kernel appends to the name of a file that was replaced while it runs.
const REPLACED: &str = " (deleted)";

/// What the kernel calls a file that exists in memory only.
const IN_MEMORY: &str = "memfd:";

/// The processes in `/proc`.
pub(crate) struct Processes;

impl Processes {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Calls `on_name` with the name of each process and, where it is readable, the name of its program file.
    pub(crate) fn each_name(&mut self, mut on_name: impl FnMut(&str)) -> Result<(), String> {
        for process in list()? {
            let path = process.path();
            // 15 bytes and a newline.
            let mut name = [0; 32];
            if let Ok(length) = fs::File::open(path.join("comm")).and_then(|mut file| file.read(&mut name)) {
                on_name(String::from_utf8_lossy(&name[..length]).trim_end_matches('\n'));
            }
            if let Some(name) = fs::read_link(path.join("exe")).as_deref().ok().and_then(Path::file_name) {
                on_name(&name.to_string_lossy());
            }
        }
        Ok(())
    }
}

/// The names of the program files that this user's processes run. Kernel threads have none.
pub(crate) fn user_programs() -> Result<Vec<String>, String> {
    let user = rustix::process::getuid().as_raw();
    let own = list()?.filter(|process| process.metadata().is_ok_and(|found| found.uid() == user));
    let programs = own.filter_map(|process| fs::read_link(process.path().join("exe")).ok());
    let names = programs.filter_map(|path| program_name(&path.file_name()?.to_string_lossy()));
    Ok(names.collect())
}

/// Every process. One that ends while the list is read is skipped.
fn list() -> Result<impl Iterator<Item = DirEntry>, String> {
    let entries = fs::read_dir("/proc").map_err(|error| format!("processes cannot be listed: {error}"))?;
    let is_process = |entry: &DirEntry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    Ok(entries.flatten().filter(is_process))
}

/// A program's name as people know it; `None` for one that was never a file.
fn program_name(file: &str) -> Option<String> {
    (!file.starts_with(IN_MEMORY)).then(|| file.strip_suffix(REPLACED).unwrap_or(file).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_updated_keeps_its_name_and_one_in_memory_has_none() {
        assert_eq!(program_name("firefox-esr (deleted)").as_deref(), Some("firefox-esr"));
        assert_eq!(program_name("firefox-esr").as_deref(), Some("firefox-esr"));
        assert_eq!(program_name("memfd:sealed-91173221a7ea (deleted)"), None);
    }
}
