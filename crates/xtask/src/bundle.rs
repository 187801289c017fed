//! `cargo xtask bundle`: the desktop app as something that people install.

mod check;
mod sbom;
mod symbols;

pub(crate) use check::PACKAGE;

use crate::{debian, install, steps::Steps, ui, workspace::Workspace};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What is made where nothing else is asked for: all that this system can make without downloading tools.
const HERE: &str = if cfg!(windows) {
    "msi"
} else if cfg!(target_os = "macos") {
    "dmg"
} else {
    "deb,rpm"
};

/// What goes over `tauri.conf.json` for bundles alone; a plain build of the app must not look for a worker to pack.
const CONFIG: &str = "tauri.bundle.conf.json";

#[derive(Args)]
pub(crate) struct Options {
    /// What to make: deb, rpm, appimage (downloads tools), msi, dmg.
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', default_value = HERE)]
    kinds: Vec<String>,
    /// Pack the debug build: quick to make, slow to run.
    #[arg(long)]
    debug: bool,
    /// Make signed updates as well, and sign what Windows installs: with the keys that the environment holds.
    #[arg(long)]
    signed: bool,
    /// Install the .deb here, try it, and remove it again. Needs root.
    #[arg(long)]
    check: bool,
}

/// Builds the page, the app and the worker, and packs them.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut steps = Steps::default();
    debian::install(&workspace, &debian::DESKTOP_BUILD);
    let profile = if options.debug { Profile::Debug } else { Profile::Release };
    if ui::build(&workspace, &mut steps)
        && build(&workspace, &mut steps, profile)
        && pack(&workspace, &mut steps, profile, &options.kinds, options.signed)?
    {
        if options.check {
            check::package(&workspace, &mut steps, profile)?;
        }
        show(&workspace, profile)?;
        println!("{} (what the programs are made of)", sbom::write(&workspace, profile)?.display());
    }
    Ok(if steps.summary() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds page, app and worker, and measures what the app costs.
pub(crate) fn figures(debug: bool) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut steps = Steps::default();
    debian::install(&workspace, &debian::DESKTOP_BUILD);
    let profile = if debug { Profile::Debug } else { Profile::Release };
    if ui::build(&workspace, &mut steps) && build(&workspace, &mut steps, profile) {
        check::figures(&workspace, &mut steps, profile);
    }
    Ok(if steps.summary() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which build is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Debug,
    Release,
}

impl Profile {
    /// The folder of its programs.
    fn folder(self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(if self == Self::Debug { "debug" } else { "release" })
    }
}

/// App and worker in one go: what both use is compiled once.
fn build(workspace: &Workspace, steps: &mut Steps, profile: Profile) -> bool {
    let mut cargo = workspace.cargo(["build", "--package", "gogrid-desktop", "--package", "gogrid", "--bins"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    steps.run("programs", &mut cargo)
}

/// The Debian package of the debug build, for the story that installs it; what cannot be made fails as a step.
pub(crate) fn debug_deb(workspace: &Workspace, steps: &mut Steps) -> Option<PathBuf> {
    let packed = pack(workspace, steps, Profile::Debug, &["deb".to_owned()], false);
    let package =
        packed.and_then(|packed| if packed { newest(workspace, Profile::Debug, "deb").map(Some) } else { Ok(None) });
    package.unwrap_or_else(|error| {
        steps.fail("bundle", format!("{error:#}"));
        None
    })
}

/// Packs what is built.
fn pack(workspace: &Workspace, steps: &mut Steps, profile: Profile, kinds: &[String], signed: bool) -> Result<bool> {
    let worker = stage_worker(workspace, profile)?;
    let bundler = install::bundler(workspace)?;
    let mut tauri = workspace.command("node");
    tauri.current_dir(workspace.root.join("src-tauri")).env("CARGO_TARGET_DIR", &workspace.target);
    tauri.arg(bundler).args(["bundle", "--ci", "--bundles", &kinds.join(","), "--config", CONFIG]);
    // The worker's place is known only here, and a plain build of the app would fail over a worker that is not there.
    tauri.arg("--config").arg(json!({ "bundle": { "externalBin": [worker] } }).to_string());
    if signed {
        tauri.arg("--config").arg(signing()?.to_string());
    }
    if profile == Profile::Debug {
        tauri.arg("--debug");
    }
    Ok(steps.run("bundle", &mut tauri))
}

/// Whose signatures count. The keys themselves go from the environment to the bundler, not over a command line.
fn signing() -> Result<Value> {
    let public_key = from_environment("GOGRID_UPDATER_PUBLIC_KEY")?;
    let mut config =
        json!({ "bundle": { "createUpdaterArtifacts": true }, "plugins": { "updater": { "pubkey": public_key } } });
    if cfg!(windows) {
        let thumbprint = from_environment("GOGRID_WINDOWS_CERTIFICATE")?;
        config["bundle"]["windows"] = json!({ "certificateThumbprint": thumbprint });
    }
    Ok(config)
}

fn from_environment(name: &str) -> Result<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    value.with_context(|| format!("--signed needs {name} in the environment"))
}

/// A copy of the worker under the name that the bundler looks for: with the target's triple at its end. Returns the
/// path without it.
fn stage_worker(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    for name in ["gogrid", "gogrid-desktop"] {
        symbols::move_aside(workspace, &profile.folder(workspace).join(program(name)))?;
    }
    let (built, folder) = (profile.folder(workspace).join(program("gogrid")), workspace.target.join("bundle"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let staged = folder.join(program(&format!("gogrid-{}", triple(workspace)?)));
    fs::copy(&built, &staged).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(folder.join("gogrid"))
}

fn program(name: &str) -> String {
    format!("{name}{}", env::consts::EXE_SUFFIX)
}

/// The triple of this machine, as the compiler calls it.
fn triple(workspace: &Workspace) -> Result<String> {
    let output = compiler(workspace).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout).context("rustc speaks UTF-8")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    Ok(host.to_owned())
}

fn compiler(workspace: &Workspace) -> Command {
    workspace.command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Where the bundles of a kind lie.
fn bundles(workspace: &Workspace, profile: Profile, kind: &str) -> PathBuf {
    profile.folder(workspace).join("bundle").join(kind)
}

/// The one file of this kind that is newest: older versions lie beside it.
fn newest(workspace: &Workspace, profile: Profile, kind: &str) -> Result<PathBuf> {
    let folder = bundles(workspace, profile, kind);
    let files = files(&folder, kind)?;
    let newest = files.into_iter().max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
    newest.with_context(|| format!("no .{kind} in {}", folder.display()))
}

fn files(folder: &Path, kind: &str) -> Result<Vec<PathBuf>> {
    ensure!(folder.is_dir(), "{} is not there", folder.display());
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let ending = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(kind));
    Ok(entries.into_iter().map(|entry| entry.path()).filter(ending).collect())
}

/// Says where the bundles are and how large.
fn show(workspace: &Workspace, profile: Profile) -> Result<()> {
    eprintln!();
    for kind in ["deb", "rpm", "appimage", "msi", "dmg"] {
        let folder = bundles(workspace, profile, kind);
        if folder.is_dir() {
            for path in files(&folder, kind)? {
                let megabytes = path.metadata()?.len() as f64 / 1e6;
                println!("{} ({megabytes:.1} MB)", path.display());
            }
        }
    }
    Ok(())
}
