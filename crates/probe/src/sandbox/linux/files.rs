//! Landlock: which files the process may use from now on. What is not named here cannot be opened, whatever the user's
//! rights. Names, sizes and times of files stay visible, and sockets can be connected to: the kernel restricts neither.

use crate::cap;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The newest rights on files that are named here; a kernel that has fewer restricts fewer.
const KNOWN: ABI = ABI::V6;
/// Libraries and their data, which everybody can read. The last four are where some systems have a GPU's driver.
const LIBRARIES: [&str; 8] =
    ["/usr", "/lib", "/lib64", "/opt", "/etc/alternatives", "/nix/store", "/run/opengl-driver", "/run/current-system"];
/// What libraries are set up with (names of hosts, time zone, the linker's list, GPU drivers), and the donor's policy.
const SETTINGS: [&str; 16] = [
    "/etc/gai.conf",
    "/etc/gogrid",
    "/etc/gogrid/policy.toml",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/nsswitch.conf",
    "/etc/nvidia",
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/timezone",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
];
/// What the probe reads. Of other processes it has what everybody may read: the kernel keeps their memory and
/// environment from a process in a sandbox.
const MACHINE: [&str; 2] = ["/proc", "/sys"];
/// Devices without data.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Restricts this thread and all that it starts, and says to what.
///
/// # Errors
/// Why the kernel does not.
pub(super) fn restrict(own: &[PathBuf]) -> Result<String, String> {
    match rules(own).and_then(RulesetCreated::restrict_self).map(|status| status.ruleset) {
        Ok(RulesetStatus::FullyEnforced) => Ok("its own files and the system's".into()),
        Ok(RulesetStatus::PartiallyEnforced) => Ok("its own files and the system's, as far as this kernel goes".into()),
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no Landlock".into()),
        Err(error) => Err(format!("this kernel's Landlock is too old (Linux 5.19 is needed), or off: {error}")),
    }
}

fn rules(own: &[PathBuf]) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let everything = AccessFs::from_all(KNOWN);
    let list: BitFlags<AccessFs> = AccessFs::ReadDir.into();
    Ruleset::default()
        // In the first version no file could move between folders, which the control socket needs.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V2))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(everything)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(own, everything & !AccessFs::Execute))?
        .add_rules(path_beneath_rules(LIBRARIES.iter().chain(&SETTINGS).chain(&MACHINE), read))?
        .add_rules(path_beneath_rules(library_folders(), read))?
        .add_rules(path_beneath_rules(x11_authority(), AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(DEVICES, read | write))?
        .add_rules(path_beneath_rules(gpu_devices(), read | write | AccessFs::IoctlDev))?
        // Its rank when memory runs out, its session's priority, and names of threads.
        .add_rules(path_beneath_rules(["/proc/self"], read | write))?
        .add_rules(path_beneath_rules(cap::own_group(), read | write))?
        // Which terminals and displays are there.
        .add_rules(path_beneath_rules(["/dev/pts", displays()], list))
}

/// Where the user said that libraries are.
fn library_folders() -> Vec<PathBuf> {
    let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    env::split_paths(&named).filter(|folder| folder.is_absolute()).collect()
}

/// The file that proves to an X server that it is this user who connects.
fn x11_authority() -> Option<PathBuf> {
    let in_home = || Some(Path::new(&env::var_os("HOME")?).join(".Xauthority"));
    env::var_os("XAUTHORITY").map(PathBuf::from).or_else(in_home)
}

/// NVIDIA's devices, and that of a GPU in Windows' Linux.
fn gpu_devices() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_gpu = |name: &str| name.starts_with("nvidia") || name == "dxg";
    entries.filter(move |entry| is_gpu(&entry.file_name().to_string_lossy())).map(|entry| entry.path())
}

/// The folder of X servers' sockets; where it is not there yet, the one in which it will be.
fn displays() -> &'static str {
    const DISPLAYS: &str = "/tmp/.X11-unix";
    if fs::exists(DISPLAYS).unwrap_or(false) { DISPLAYS } else { "/tmp" }
}
