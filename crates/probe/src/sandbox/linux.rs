mod files;
mod programs;

use super::Sandbox;
use crate::{
    LeverReport,
    threads::{ensure_single_threaded, set},
};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where the driver shares memory between the host and a GPU.
const CUDA_MEMORY: &str = "/dev/nvidia-uvm";
/// The driver's own program that loads its module and makes that device, for users who may not. CUDA starts it when it
/// needs to, which it cannot do later.
const CUDA_PREPARE: [&str; 3] = ["nvidia-modprobe", "-u", "-c=0"];

/// Where the driver keeps the kernels that it compiled; in the user's home if nothing is set.
const CUDA_CACHE: &str = "CUDA_CACHE_PATH";

pub(super) fn enter(sandbox: &Sandbox, report: &mut LeverReport) {
    if sandbox.cuda && !Path::new(CUDA_MEMORY).exists() {
        // If it is missing or fails, CUDA says what is wrong.
        drop(quiet(Command::new(CUDA_PREPARE[0]).args(&CUDA_PREPARE[1..])).status());
    }
    let alone = ensure_single_threaded();
    if let Some(own) = sandbox.own.first()
        && sandbox.cuda
        && alone.is_ok()
        && env::var_os(CUDA_CACHE).is_none()
    {
        set(CUDA_CACHE, own.join("cuda-cache").to_string_lossy().into_owned());
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    let files = alone.clone().and_then(|()| match sandbox.contains_home(home.as_deref()) {
        Some(own) => Err(format!("{} is not a folder of its own: the home folder is in it", own.display())),
        None => files::restrict(&sandbox.own),
    });
    let files = files.and_then(|how| home.as_deref().map_or(Ok(()), home_is_closed).map(|()| how));
    report.add("Landlock", files.clone().unwrap_or_default(), files.map(drop));
    let programs = alone.and_then(|()| programs::forbid()).and_then(|()| programs_are_closed());
    report.add("seccomp", "no program can be started", programs);
}

fn home_is_closed(home: &Path) -> Result<(), String> {
    match fs::read_dir(home) {
        Ok(_) => Err(format!("it is set, but {} can still be read", home.display())),
        Err(_) => Ok(()),
    }
}

/// Tries to start this program, which would only print its version.
fn programs_are_closed() -> Result<(), String> {
    let this = env::current_exe().map_err(|error| format!("it is set, and was not tried: {error}"))?;
    match quiet(Command::new(this).arg("--version")).status() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(format!("it is set, and was not tried: {error}")),
        Ok(_) => Err("it is set, but a program can still be started".into()),
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
