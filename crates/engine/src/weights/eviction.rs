//! Eviction from the weights' folder when the donor's limit is reached.

use super::FetchError;
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// One file of the cache.
struct CachedFile {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Makes space for `needed` more bytes under a limit, by deleting the least recently used files. Those in `keep` (file
/// names) stay.
///
/// # Errors
/// When it does not fit even then; nothing is deleted in that case.
pub(super) fn make_space(folder: &Path, needed: u64, limit: u64, keep: &HashSet<String>) -> Result<(), FetchError> {
    let mut files: Vec<CachedFile> = Vec::new();
    let mut held = 0u64;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        held = held.saturating_add(found.len());
        let name = entry.file_name();
        // The part of a wanted tensor is continued.
        let stem = Path::new(&name).file_stem().unwrap_or(&name).to_string_lossy().into_owned();
        if found.is_file() && !keep.contains(&stem) {
            let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(CachedFile { path: entry.path(), bytes: found.len(), used });
        }
    }
    let mut over = held.saturating_add(needed).saturating_sub(limit);
    let others: u64 = files.iter().map(|file| file.bytes).sum();
    if over > others {
        return Err(FetchError::DiskLimit { needed: held.saturating_add(needed) - others, limit });
    }
    files.sort_by_key(|file| file.used);
    for file in files {
        if over == 0 {
            break;
        }
        tracing::info!(path = %file.path.display(), bytes = file.bytes, "weights evicted for others");
        if fs::remove_file(&file.path).is_ok() {
            over = over.saturating_sub(file.bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, time::Duration};

    fn folder(files: &[(&str, usize, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes, age) in files {
            let path = folder.path().join(name);
            fs::write(&path, vec![0; *bytes]).expect("written");
            let then = SystemTime::now() - Duration::from_secs(*age);
            File::options().write(true).open(path).and_then(|file| file.set_modified(then)).expect("aged");
        }
        folder
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).expect("readable").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_needed() {
        let folder = folder(&[("old", 100, 300), ("older", 100, 400), ("new", 100, 1), ("wanted", 100, 999)]);
        let keep = HashSet::from(["wanted".to_owned()]);
        make_space(folder.path(), 50, 500, &keep).expect("there is room");
        assert_eq!(names(&folder), ["new", "old", "older", "wanted"]);
        make_space(folder.path(), 150, 400, &keep).expect("two go");
        assert_eq!(names(&folder), ["new", "wanted"]);
    }

    #[test]
    fn what_cannot_fit_is_refused_and_nothing_is_deleted() {
        let folder = folder(&[("old", 100, 300), ("wanted.part", 100, 999)]);
        let keep = HashSet::from(["wanted".to_owned()]);
        let error = make_space(folder.path(), 301, 400, &keep).expect_err("too much");
        assert!(matches!(error, FetchError::DiskLimit { needed: 401, limit: 400 }), "{error}");
        assert_eq!(names(&folder), ["old", "wanted.part"]);
    }
}
