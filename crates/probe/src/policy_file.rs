//! The administrator's policy file: its path, and whether only an administrator can have written it.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A policy has at most some twenty rules of one line each.
const LARGEST_BYTES: u64 = 64 * 1024;

/// Why an existing policy is not used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The system refused to read it.
    #[error("the policy {path} cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Users other than the administrator could have written it.
    #[error("the policy {path} is not trusted: {what} {why}")]
    Untrusted {
        /// Which file.
        path: PathBuf,
        /// The file or its folder.
        what: PathBuf,
        /// What is wrong with its rights.
        why: TrustProblem,
    },
    /// It is too large for a policy.
    #[error("the policy {path} is larger than {LARGEST_BYTES} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
}

/// What is wrong with the rights of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustProblem {
    /// It belongs to another user.
    #[error("belongs to user {0}, not to root")]
    Owner(u32),
    /// Users other than its owner may write to it.
    #[error("may be written by users other than its owner (mode {0:03o})")]
    Writable(u32),
    /// It is a folder, a pipe or a device.
    #[error("is not a file")]
    NotAFile,
}

/// The path of this system's policy.
#[cfg(all(unix, not(target_os = "macos")))]
pub fn policy_path() -> PathBuf {
    "/etc/gogrid/policy.toml".into()
}

/// The path of this system's policy.
#[cfg(target_os = "macos")]
pub fn policy_path() -> PathBuf {
    "/Library/Application Support/GoGrid/policy.toml".into()
}

/// The path of this system's policy.
#[cfg(windows)]
pub fn policy_path() -> PathBuf {
    windows::program_data().join("GoGrid").join("policy.toml")
}

/// The text of the policy; `None` if there is none.
///
/// On Unix the file and its folder have to belong to root, and nobody else may write to them. On Windows the folder's
/// permissions are not checked.
///
/// # Errors
/// If there is a policy that cannot be read or is not trusted. The caller then has to lend nothing, because the policy
/// may forbid it.
pub fn read_policy(path: &Path) -> Result<Option<String>, PolicyFileError> {
    read_owned_by(path, 0)
}

fn read_owned_by(path: &Path, owner: u32) -> Result<Option<String>, PolicyFileError> {
    let unreadable = |source| PolicyFileError::Read { path: path.into(), source };
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    // A link is followed, and its target is checked as well.
    let file = fs::canonicalize(path).map_err(unreadable)?;
    // Folders first: in a trusted folder nobody can replace the file between the checks.
    for folder in [path.parent(), file.parent()].into_iter().flatten() {
        trust(path, folder, owner)?;
    }
    trust(path, &file, owner)?;
    if !fs::metadata(&file).map_err(unreadable)?.is_file() {
        return Err(PolicyFileError::Untrusted { path: path.into(), what: file, why: TrustProblem::NotAFile });
    }
    let mut text = String::new();
    let bytes = File::open(&file).and_then(|file| file.take(LARGEST_BYTES + 1).read_to_string(&mut text));
    match bytes.map_err(unreadable)? as u64 {
        0..=LARGEST_BYTES => Ok(Some(text)),
        _ => Err(PolicyFileError::TooLarge { path: path.into() }),
    }
}

#[cfg(unix)]
fn trust(path: &Path, what: &Path, owner: u32) -> Result<(), PolicyFileError> {
    use std::os::unix::fs::MetadataExt;
    /// Write permission of the group and of all others.
    const OTHERS_WRITE: u32 = 0o022;
    let found = fs::metadata(what).map_err(|source| PolicyFileError::Read { path: path.into(), source })?;
    let why = match (found.uid(), found.mode() & 0o777) {
        (uid, _) if uid != owner => TrustProblem::Owner(uid),
        (_, mode) if mode & OTHERS_WRITE != 0 => TrustProblem::Writable(mode),
        _ => return Ok(()),
    };
    Err(PolicyFileError::Untrusted { path: path.into(), what: what.into(), why })
}

#[cfg(not(unix))]
fn trust(_path: &Path, _what: &Path, _owner: u32) -> Result<(), PolicyFileError> {
    Ok(())
}

#[cfg(windows)]
mod windows {
    use std::{ffi::OsString, os::windows::ffi::OsStringExt, path::PathBuf, ptr};
    use windows_sys::Win32::{
        System::Com::CoTaskMemFree,
        UI::Shell::{FOLDERID_ProgramData, KF_FLAG_DEFAULT, SHGetKnownFolderPath},
    };

    /// From the system, because the user can set the variable `ProgramData`.
    pub(super) fn program_data() -> PathBuf {
        let (folder, mut text) = (FOLDERID_ProgramData, ptr::null_mut());
        #[expect(unsafe_code, reason = "std knows no such folder; the place written is ours, and the id is a constant")]
        let result =
            unsafe { SHGetKnownFolderPath(&raw const folder, KF_FLAG_DEFAULT as u32, ptr::null_mut(), &raw mut text) };
        let path = if result == 0 && !text.is_null() {
            #[expect(unsafe_code, reason = "on success the text ends with a zero, so that all read lies within it")]
            let wide = unsafe {
                let length = (0..).take_while(|at| *text.add(*at) != 0).count();
                std::slice::from_raw_parts(text, length)
            };
            OsString::from_wide(wide).into()
        } else {
            // The default, if nobody moved it.
            PathBuf::from(r"C:\ProgramData")
        };
        #[expect(unsafe_code, reason = "the text is ours to give back, once, also after a failure; null is allowed")]
        unsafe {
            CoTaskMemFree(text.cast());
        }
        path
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const TEXT: &str = "limits.cpu = { most = 50 }\n";

    /// A folder and a policy in it with these rights, read as if we were root.
    fn read(folder_mode: u32, mode: u32) -> Result<Option<String>, PolicyFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(folder_mode)).unwrap();
        read_owned_by(&path, me())
    }

    fn me() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[rstest]
    #[case(0o755, 0o644, None)]
    #[case(0o700, 0o600, None)]
    #[case(0o755, 0o664, Some(TrustProblem::Writable(0o664)))]
    #[case(0o755, 0o646, Some(TrustProblem::Writable(0o646)))]
    #[case(0o777, 0o644, Some(TrustProblem::Writable(0o777)))]
    #[case(0o775, 0o644, Some(TrustProblem::Writable(0o775)))]
    fn is_trusted_where_only_its_owner_may_write(
        #[case] folder: u32,
        #[case] file: u32,
        #[case] problem: Option<TrustProblem>,
    ) {
        match (read(folder, file), problem) {
            (Ok(text), None) => assert_eq!(text.as_deref(), Some(TEXT)),
            (Err(PolicyFileError::Untrusted { why, .. }), Some(expected)) => assert_eq!(why, expected),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_another_owner_it_is_not_trusted_and_the_error_says_whose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, TEXT).unwrap();
        let refused = read_owned_by(&path, me() + 1).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("belongs to user {}, not to root", me())), "{refused}");
    }

    #[test]
    fn no_policy_is_none_and_one_that_is_there_but_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert!(matches!(read_owned_by(&path, me()), Ok(None)));
        assert!(matches!(read_owned_by(&folder.path().join("gogrid/policy.toml"), me()), Ok(None)));
        symlink("nowhere", &path).unwrap();
        assert!(matches!(read_owned_by(&path, me()), Err(PolicyFileError::Read { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let refused = read_owned_by(&path, me());
        assert!(matches!(refused, Err(PolicyFileError::Untrusted { why: TrustProblem::NotAFile, .. })), "{refused:?}");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, vec![b'#'; 1 + LARGEST_BYTES as usize]).unwrap();
        assert!(matches!(read_owned_by(&path, me()), Err(PolicyFileError::TooLarge { .. })));
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read_owned_by(&path, me()), Err(PolicyFileError::Read { .. })));
    }

    #[test]
    fn a_link_is_followed_and_the_folder_that_it_leads_to_is_judged() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, target) = (folder.path().join("policy.toml"), elsewhere.path().join("theirs.toml"));
        fs::write(&target, TEXT).unwrap();
        symlink(&target, &path).unwrap();
        assert_eq!(read_owned_by(&path, me()).unwrap().as_deref(), Some(TEXT));
        fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(read_owned_by(&path, me()), Err(PolicyFileError::Untrusted { .. })));
    }
}
