use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// How much of a file is read, from its end, in bytes: ten thousand lines or more.
const MOST: u64 = 2 * 1024 * 1024;

/// The texts of a program's logs, newest day first. Files that cannot be read are skipped.
pub(super) fn newest_first(folder: &Path, name: &str) -> impl Iterator<Item = String> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| is_log(path, name)).collect())
        .unwrap_or_default();
    // Names with ISO dates sort by date.
    files.sort_unstable_by(|a, b| b.cmp(a));
    files.into_iter().filter_map(|file| end_of(&file).ok())
}

/// `NAME.YYYY-MM-DD.log`.
fn is_log(path: &Path, name: &str) -> bool {
    let day = path
        .file_name()
        .and_then(|file| file.to_str())
        .and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".log"));
    day.is_some_and(|day| day.len() == "YYYY-MM-DD".len())
}

/// The last whole lines of a file.
fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(MOST);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    // No more than there was, because the log may grow as fast as it is read.
    file.take(length - start).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match text.split_once('\n') {
        Some((_cut_off, whole)) if start > 0 => whole.to_owned(),
        _ => text.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_read_from_its_end_in_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("{}\n", "x".repeat(999));
        fs::write(folder.path().join("app.2026-11-25.log"), line.repeat(3000)).unwrap();
        let texts: Vec<_> = newest_first(folder.path(), "app").collect();
        let [text] = texts.as_slice() else { panic!("{} files", texts.len()) };
        assert!(text.len() as u64 <= MOST && text.len() as u64 > MOST - 2000);
        assert!(text.lines().all(|line| line.len() == 999));
    }

    #[test]
    fn only_its_own_days_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["app.log", "app.2026-11-25.log.gz", "apple.2026-11-25.log", "app.2026-11-24.log"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let texts: Vec<_> = newest_first(folder.path(), "app").collect();
        assert_eq!(texts, ["app.2026-11-24.log"]);
        assert_eq!(newest_first(&folder.path().join("missing"), "app").count(), 0);
    }
}
