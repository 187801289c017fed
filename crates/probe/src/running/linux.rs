use std::{fs, os::unix::fs::MetadataExt};

/// What the kernel adds to the name of a file that was replaced while it runs.
const REPLACED: &str = " (deleted)";

/// What the kernel calls a file that only memory holds.
const IN_MEMORY: &str = "memfd:";

/// The names of the files that this user's processes run. A thread of the kernel runs none.
pub(super) fn names() -> Result<Vec<String>, String> {
    let user = rustix::process::getuid().as_raw();
    let entries = fs::read_dir("/proc").map_err(|error| format!("processes cannot be listed: {error}"))?;
    // Processes that end meanwhile are skipped.
    let processes = entries.flatten().filter(|entry| {
        let is_process = entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        is_process && entry.metadata().is_ok_and(|found| found.uid() == user)
    });
    let programs = processes.filter_map(|process| fs::read_link(process.path().join("exe")).ok());
    let names = programs.filter_map(|path| path.file_name().and_then(|name| known(&name.to_string_lossy())));
    Ok(names.collect())
}

/// A program's name as people know it; nothing for one that was never a file.
fn known(name: &str) -> Option<String> {
    (!name.starts_with(IN_MEMORY)).then(|| name.strip_suffix(REPLACED).unwrap_or(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_updated_keeps_its_name_and_one_in_memory_has_none() {
        assert_eq!(known("firefox-esr (deleted)").as_deref(), Some("firefox-esr"));
        assert_eq!(known("firefox-esr").as_deref(), Some("firefox-esr"));
        assert_eq!(known("memfd:sealed-91173221a7ea (deleted)"), None);
    }
}
