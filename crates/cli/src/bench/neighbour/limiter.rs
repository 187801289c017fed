//! Ways to limit a process's CPU time: ours, and those that people use without GoGrid.

use super::site::Site;
use anyhow::{Context, Result, bail};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

/// The CPU controller of control groups, version 1.
const V1: &str = "/sys/fs/cgroup/cpu";
/// Control groups, version 2.
const V2: &str = "/sys/fs/cgroup";
/// The kernel's default period, in µs.
const PERIOD_US: u64 = 100_000;

/// A way to limit CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limiter {
    /// The donor's limit.
    Ours,
    /// `cpulimit`, which stops and continues the process by signals.
    Cpulimit,
    /// A quota of the kernel's scheduler, for a control group.
    ControlGroup,
}

/// A limit in force. [`Hold::lift`] ends it.
#[derive(Debug)]
pub(super) enum Hold {
    Ours,
    Cpulimit(Child),
    ControlGroup(Group),
}

impl Limiter {
    pub(super) const OTHERS: [Self; 2] = [Self::Cpulimit, Self::ControlGroup];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "gogrid",
            Self::Cpulimit => "cpulimit",
            Self::ControlGroup => "control group",
        }
    }

    /// Why it cannot be used on this machine; `None` if it can.
    pub(super) async fn missing(self, site: &Site) -> Option<String> {
        match self {
            Self::Ours => None,
            Self::Cpulimit => {
                let found = Command::new("cpulimit").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
                found.await.err().map(|error| format!("cpulimit cannot be started ({error}): install it"))
            }
            Self::ControlGroup => Group::new(site.pid).err().map(|error| format!("no control group: {error:#}")),
        }
    }

    /// Limits the worker to this percentage of all cores.
    pub(super) async fn hold(self, site: &mut Site, percent: u32) -> Result<Hold> {
        Ok(match self {
            Self::Ours => {
                site.limit(&[("cpu", &percent.to_string())]).await?;
                Hold::Ours
            }
            Self::Cpulimit => {
                // cpulimit counts in percent of one core.
                let limit = (u64::from(percent) * site.cores as u64).to_string();
                let mut command = Command::new("cpulimit");
                command.args(["-l", &limit, "-p", &site.pid.to_string()]);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
                Hold::Cpulimit(command.spawn().context("cpulimit cannot be started")?)
            }
            Self::ControlGroup => {
                let group = Group::new(site.pid)?;
                group.limit(PERIOD_US * u64::from(percent) * site.cores as u64 / 100)?;
                Hold::ControlGroup(group)
            }
        })
    }
}

impl Hold {
    /// Ends the limit.
    pub(super) async fn lift(self, site: &mut Site) -> Result<()> {
        match self {
            Self::Ours => site.unlimited().await,
            Self::Cpulimit(mut child) => {
                if let Some(ended) = child.try_wait()? {
                    bail!("cpulimit ended by itself ({ended})");
                }
                interrupt(&child)?;
                child.wait().await?;
                // It may have ended while the worker was stopped.
                proceed(site.pid)
            }
            Self::ControlGroup(group) => group.leave(),
        }
    }
}

#[cfg(target_os = "linux")]
fn interrupt(child: &Child) -> Result<()> {
    send(child.id().context("cpulimit has ended")?, nix::sys::signal::SIGINT)
}

#[cfg(target_os = "linux")]
fn proceed(pid: u32) -> Result<()> {
    send(pid, nix::sys::signal::SIGCONT)
}

#[cfg(target_os = "linux")]
fn send(pid: u32, signal: nix::sys::signal::Signal) -> Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.try_into()?), signal)?)
}

#[cfg(not(target_os = "linux"))]
fn interrupt(_cpulimit: &Child) -> Result<()> {
    bail!("cpulimit is only used on Linux")
}

#[cfg(not(target_os = "linux"))]
fn proceed(_pid: u32) -> Result<()> {
    bail!("cpulimit is only used on Linux")
}

/// A control group for the worker.
#[derive(Debug)]
pub(super) struct Group {
    folder: PathBuf,
    pid: u32,
    /// Whether it is of version 2.
    unified: bool,
}

impl Group {
    /// Creates the group, without the worker in it. As a rule only root may do this.
    fn new(pid: u32) -> Result<Self> {
        let name = format!("gogrid-bench-{pid}");
        let unified = fs::read_to_string(Path::new(V2).join("cgroup.controllers"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "cpu"));
        let parent = Path::new(if unified { V2 } else { V1 });
        let folder = parent.join(name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make {}", folder.display()));
            }
            _ => {}
        }
        let group = Self { folder, pid, unified };
        if !group.folder.join(group.quota()).exists() {
            bail!("{} has no {}", group.folder.display(), group.quota());
        }
        Ok(group)
    }

    fn quota(&self) -> &'static str {
        if self.unified { "cpu.max" } else { "cpu.cfs_quota_us" }
    }

    fn limit(&self, quota_us: u64) -> Result<()> {
        if self.unified {
            self.write("cpu.max", format!("{quota_us} {PERIOD_US}"))?;
        } else {
            self.write("cpu.cfs_period_us", PERIOD_US.to_string())?;
            self.write("cpu.cfs_quota_us", quota_us.to_string())?;
        }
        self.write("cgroup.procs", self.pid.to_string())
    }

    fn write(&self, file: &str, value: String) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Moves the worker back to the parent group. The folder is removed on drop.
    fn leave(self) -> Result<()> {
        let above = self.folder.parent().context("a group is within one")?.join("cgroup.procs");
        fs::write(&above, self.pid.to_string()).with_context(|| format!("cannot write {}", above.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails if the worker is still in the group; it ends with the bench.
        drop(fs::remove_dir(&self.folder));
    }
}
