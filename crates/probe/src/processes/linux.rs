use std::{
    fs::{self, DirEntry},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// What the kernel appends to the name of a file that was replaced while it runs.
const REPLACED: &str = " (deleted)";

/// What the kernel calls a file that exists in memory only.
const IN_MEMORY: &str = "memfd:";

/// Bytes of a command line that may hold the program's path: the longest path that the kernel takes.
const LONGEST_NAME: usize = 4096;

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
            if let Some(name) = program(&path) {
                on_name(&name);
            }
        }
        Ok(())
    }
}

/// The names of the program files that this user's processes run. Kernel threads have none.
pub(crate) fn user_programs() -> Result<Vec<String>, String> {
    let user = rustix::process::getuid().as_raw();
    let own = list()?.filter(|process| process.metadata().is_ok_and(|found| found.uid() == user));
    Ok(own.filter_map(|process| program_name(&program(&process.path())?)).collect())
}

/// The name of a process's program file; where the kernel does not tell it (another user's process, or this one is in a
/// sandbox), the name by which the program was started.
fn program(process: &Path) -> Option<String> {
    match fs::read_link(process.join("exe")) {
        Ok(file) => Some(file.file_name()?.to_string_lossy().into_owned()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut line = vec![0; LONGEST_NAME];
            let length = fs::File::open(process.join("cmdline")).and_then(|mut file| file.read(&mut line)).ok()?;
            started_as(&String::from_utf8_lossy(&line[..length]))
        }
        Err(_) => None,
    }
}

/// The program's name in a command line. Some programs write their whole line into the first argument, login shells
/// begin with a dash, and Wine's programs have Windows' paths.
fn started_as(line: &str) -> Option<String> {
    let program = line.split('\0').next()?;
    let program = program.split_once(" -").map_or(program, |(program, _)| program);
    let name = program.rsplit(['/', '\\']).next()?.trim_start_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
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

    #[test]
    fn a_command_line_names_its_program() {
        for (line, name) in [
            ("/usr/bin/blender\0file.blend\0", "blender"),
            ("-bash\0", "bash"),
            ("/opt/a browser/browser --type=renderer --lang=/de\0", "browser"),
            ("C:\\Program Files\\Game\\Game.exe\0-windowed\0", "Game.exe"),
        ] {
            assert_eq!(started_as(line).as_deref(), Some(name));
        }
        assert_eq!(started_as(""), None, "a kernel thread");
    }
}
