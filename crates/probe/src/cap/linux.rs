use super::CapError;
use crate::logical_cores;
use gogrid_limits::Share;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

/// A fifth of the kernel's own period: after its quota, a process stands still until the period ends.
const PERIOD: Duration = Duration::from_millis(20);
/// The kernel takes no smaller quota.
const SMALLEST_QUOTA: Duration = Duration::from_millis(1);
const CPU: &str = "cpu.max";
const MEMORY: &str = "memory.max";

/// The cgroup (version 2) of this process.
#[derive(Debug)]
pub(super) struct Cap {
    folder: PathBuf,
    /// What was there before, of what we wrote.
    before: Vec<(&'static str, String)>,
}

impl Cap {
    pub(super) fn new() -> Result<Self, CapError> {
        Self::at(own_group().map_err(CapError::NotAvailable)?)
    }

    fn at(folder: PathBuf) -> Result<Self, CapError> {
        let not_available = |reason: String| Err(CapError::NotAvailable(format!("{}: {reason}", folder.display())));
        let processes = match fs::read_to_string(folder.join("cgroup.procs")) {
            Ok(processes) => processes,
            Err(error) => return not_available(format!("cgroup.procs: {error}")),
        };
        // A terminal's cgroup holds the user's shell and all that they start from it.
        let others = processes.lines().filter(|id| id.parse() != Ok(process::id())).count();
        if others > 0 {
            return not_available(format!("{others} other processes are in this cgroup"));
        }
        let closed: Vec<_> = [CPU, MEMORY].iter().filter_map(|file| writable(&folder.join(file)).err()).collect();
        if closed.len() == 2 {
            return not_available(format!(
                "neither {CPU} ({}) nor {MEMORY} ({}) is ours to write",
                closed[0], closed[1]
            ));
        }
        Ok(Self { folder, before: vec![] })
    }

    pub(super) fn set_cpu(&mut self, share: Share) -> Result<(), CapError> {
        let quota = PERIOD.mul_f64(share.fraction() * logical_cores() as f64).max(SMALLEST_QUOTA);
        self.write(CPU, format!("{} {}", quota.as_micros(), PERIOD.as_micros()))
    }

    pub(super) fn set_memory(&mut self, bytes: u64) -> Result<(), CapError> {
        self.write(MEMORY, bytes.to_string())
    }

    fn write(&mut self, field: &'static str, value: String) -> Result<(), CapError> {
        let path = self.folder.join(field);
        let write = || -> io::Result<Option<String>> {
            let before = match self.before.iter().any(|(written, _)| *written == field) {
                true => None,
                false => Some(fs::read_to_string(&path)?),
            };
            fs::write(&path, &value)?;
            Ok(before)
        };
        match write() {
            Ok(before) => {
                self.before.extend(before.map(|before| (field, before)));
                Ok(())
            }
            Err(source) => Err(CapError::NotApplied { field, value, source }),
        }
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        for (field, before) in &self.before {
            // If it fails, the group is gone or taken from us, and the cap with it.
            drop(fs::write(self.folder.join(field), before.trim()));
        }
    }
}

/// The folder of this process's cgroup, or why there is none.
pub(crate) fn own_group() -> Result<PathBuf, String> {
    let read = |file: &str| fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
    let (groups, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
    own_folder(&groups, &mounts).map_err(Into::into)
}

fn writable(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path).map(drop)
}

/// The folder of the process' cgroup, from its `cgroup` and `mountinfo`.
fn own_folder(groups: &str, mounts: &str) -> Result<PathBuf, &'static str> {
    let group =
        groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or("the kernel has no cgroups of version 2")?;
    // … mount-id parent device root mount-point options … - type source options
    let mount = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        (kind.split(' ').next()? == "cgroup2").then_some((place.next()?, place.next()?))
    });
    let (root, mount) = mount.ok_or("cgroups of version 2 are not mounted")?;
    let inside = group.strip_prefix(root.trim_end_matches('/')).ok_or("the process' cgroup is not visible here")?;
    if inside.contains("..") {
        return Err("the process' cgroup is not visible here");
    }
    Ok(Path::new(mount).join(inside.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files of a cgroup.
    fn group(processes: &str, files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.procs"), processes).unwrap();
        files.iter().for_each(|file| fs::write(folder.path().join(file), "max 100000\n").unwrap());
        folder
    }

    #[test]
    fn caps_are_written_and_taken_back() {
        let folder = group(&process::id().to_string(), &[CPU, MEMORY]);
        let read = |file| fs::read_to_string(folder.path().join(file)).unwrap();
        let mut cap = Cap::at(folder.path().into()).unwrap();
        cap.set_cpu(Share::from_percent(50)).unwrap();
        assert_eq!(read(CPU), format!("{} 20000", 10_000 * logical_cores()));
        cap.set_cpu(Share::FULL).unwrap();
        assert_eq!(read(CPU), format!("{} 20000", 20_000 * logical_cores()));
        cap.set_memory(1 << 30).unwrap();
        assert_eq!(read(MEMORY), "1073741824");
        drop(cap);
        assert_eq!((read(CPU), read(MEMORY)), ("max 100000".into(), "max 100000".into()));
    }

    #[test]
    fn a_group_that_holds_others_is_left_alone() {
        let folder = group(&format!("{}\n1\n", process::id()), &[CPU, MEMORY]);
        let error = Cap::at(folder.path().into()).unwrap_err().to_string();
        assert!(error.ends_with("1 other processes are in this cgroup"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join(CPU)).unwrap(), "max 100000\n");
    }

    #[test]
    fn a_controller_that_is_not_delegated_is_named() {
        let folder = group("", &[MEMORY]);
        let mut cap = Cap::at(folder.path().into()).unwrap();
        let error = cap.set_cpu(Share::FULL).unwrap_err();
        assert!(matches!(error, CapError::NotApplied { field: CPU, .. }), "{error:?}");
        cap.set_memory(1 << 30).unwrap();
        let neither = Cap::at(group("", &[]).path().into()).unwrap_err().to_string();
        assert!(neither.contains("neither cpu.max") && neither.contains("memory.max"), "{neither}");
    }

    #[test]
    fn the_own_group_is_found_where_it_is_mounted() {
        let mounts = "30 1 0:1 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n35 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(
            own_folder("5:cpu:/x\n0::/user.slice/a.scope\n", mounts),
            Ok("/sys/fs/cgroup/unified/user.slice/a.scope".into())
        );
        assert_eq!(own_folder("0::/\n", mounts), Ok("/sys/fs/cgroup/unified/".into()));
        assert_eq!(own_folder("5:cpu:/x\n", mounts), Err("the kernel has no cgroups of version 2"));
        assert_eq!(own_folder("0::/\n", ""), Err("cgroups of version 2 are not mounted"));
        let container = "35 30 0:27 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(own_folder("0::/docker/1/sub\n", container), Ok("/sys/fs/cgroup/sub".into()));
        assert_eq!(own_folder("0::/other\n", container), Err("the process' cgroup is not visible here"));
        assert_eq!(own_folder("0::/../x\n", mounts), Err("the process' cgroup is not visible here"));
    }

    #[test]
    fn this_process_gets_a_cap_or_a_reason() {
        if let Err(error) = Cap::new() {
            assert!(matches!(&error, CapError::NotAvailable(reason) if !reason.is_empty()), "{error}");
        }
    }
}
