//! What a worker gives up before it talks to anybody, so that whoever takes it over has little: on Linux, files but its
//! own and the system's (Landlock), and the start of programs (seccomp). Other systems have nothing of the kind for a
//! process that is running already.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod none;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use none as system;

use crate::LeverReport;
use std::path::{Path, PathBuf};

/// What a sandboxed process keeps.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Folders that it may read and change, its data folder first. A folder that contains the user's home is no
    /// folder of its own, and the report says so.
    pub own: Vec<PathBuf>,
    /// Whether it computes on an NVIDIA GPU, whose device for shared memory the driver may have to make first.
    pub cuda: bool,
}

impl Sandbox {
    /// Gives up everything else, for this process and all that it starts, for good. Call it before any other thread
    /// exists: threads that exist keep their rights. The report says what holds, after it was tried: whether the
    /// user's home can be listed, and whether a program can be started.
    pub fn enter(&self) -> LeverReport {
        let mut report = LeverReport::default();
        system::enter(self, &mut report);
        report
    }

    /// A folder of its own that the user's home is in, or that is the home itself.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    fn contains_home(&self, home: Option<&Path>) -> Option<&Path> {
        let home = home?.canonicalize().ok()?;
        let contains = |own: &&PathBuf| own.canonicalize().is_ok_and(|own| home.starts_with(own));
        self.own.iter().find(contains).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_the_home_is_its_own_and_the_home_is_not() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("gogrid");
        std::fs::create_dir(&folder).unwrap();
        let contains = |own: &Path| {
            let sandbox = Sandbox { own: vec![own.into()], cuda: false };
            sandbox.contains_home(Some(home.path())).map(Path::to_owned)
        };
        assert_eq!(contains(&folder), None);
        assert_eq!(contains(home.path()).as_deref(), Some(home.path()));
        assert_eq!(contains(Path::new("/")).as_deref(), Some(Path::new("/")));
        assert_eq!(Sandbox { own: vec!["/".into()], cuda: false }.contains_home(None), None);
    }
}
