use super::{Driver, driver::LIBRARY};
use std::{
    env, io,
    path::{Path, PathBuf},
};

/// The builds of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// `gogrid`.
    Cpu,
    /// `gogrid-cuda`, which links CUDA's libraries and cannot start without them.
    Cuda,
}

impl Build {
    /// The name that the page uses.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Cpu => "gogrid",
            Self::Cuda => "gogrid-cuda",
        }
    }

    /// The value of `--device`; `None` for the program's default.
    pub(super) const fn device(self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Cuda => Some("cuda:0"),
        }
    }
}

/// The worker's programs, in the app's own folder.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
    driver: Driver,
}

/// A program to start, and why it is not the faster one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) build: Build,
    pub(super) fallback: Option<String>,
}

impl Programs {
    /// Those in the folder of this program.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub(crate) fn beside_this(driver: Driver) -> io::Result<Self> {
        let program = env::current_exe()?;
        let folder = program.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, driver })
    }

    #[cfg(test)]
    pub(super) fn in_folder(folder: &Path, driver: Driver) -> Self {
        Self { folder: folder.to_owned(), driver }
    }

    /// The fastest program that works here. `failed` says why the CUDA build failed, if it did.
    pub(super) fn choose(&self, failed: Option<&str>) -> Program {
        let fallback = match (self.driver, failed) {
            (Driver::Missing { card: false }, _) => None,
            (Driver::Missing { card: true }, _) => {
                Some(format!("There is an NVIDIA card, but its driver's library {LIBRARY} was not found"))
            }
            (Driver::Found, Some(failed)) => Some(format!("The build for NVIDIA cards does not run here: {failed}")),
            (Driver::Found, None) => {
                let path = self.path(Build::Cuda);
                if path.is_file() {
                    return Program { path, build: Build::Cuda, fallback: None };
                }
                Some("The build for NVIDIA cards is not installed".to_owned())
            }
        };
        Program { path: self.path(Build::Cpu), build: Build::Cpu, fallback }
    }

    fn path(&self, build: Build) -> PathBuf {
        self.folder.join(build.program()).with_extension(env::consts::EXE_EXTENSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const NO_CARD: Driver = Driver::Missing { card: false };
    const NO_DRIVER: Driver = Driver::Missing { card: true };

    #[rstest]
    #[case::no_card(NO_CARD, true, None, Build::Cpu, None)]
    #[case::card_without_driver(NO_DRIVER, true, None, Build::Cpu, Some("driver's library"))]
    #[case::all_there(Driver::Found, true, None, Build::Cuda, None)]
    #[case::not_installed(Driver::Found, false, None, Build::Cpu, Some("not installed"))]
    #[case::failed(Driver::Found, true, Some("no CUDA device"), Build::Cpu, Some("does not run here: no CUDA device"))]
    fn the_fastest_that_can_work_is_chosen(
        #[case] driver: Driver,
        #[case] installed: bool,
        #[case] failed: Option<&str>,
        #[case] build: Build,
        #[case] fallback: Option<&str>,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::in_folder(folder.path(), driver);
        if installed {
            std::fs::write(programs.path(Build::Cuda), "").unwrap();
        }
        let program = programs.choose(failed);
        assert_eq!(program.build, build);
        assert!(program.path.file_stem().unwrap().to_str().unwrap() == build.program());
        match fallback {
            Some(says) => assert!(program.fallback.as_deref().unwrap_or_default().contains(says), "{program:?}"),
            None => assert_eq!(program.fallback, None),
        }
    }
}
