//! The Debian package is installed, started, used and removed, and leaves nothing behind.

use super::session::{DesktopSession, NOT_JOINED, wait_line};
use anyhow::{Context, Result, ensure};
use gogrid_testkit::{SOON, desktop::App};
use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

/// The variable that names the package.
const PACKAGE: &str = "GOGRID_TEST_DEB";
/// The files of the package, none of which may be there before.
const FILES: [&str; 3] = ["/usr/bin/gogrid-desktop", "/usr/bin/gogrid", "/usr/share/applications/GoGrid.desktop"];
/// The folder of a user's autostart entries.
const AUTOSTART: &str = ".config/autostart";

#[tokio::test]
async fn the_package_installs_runs_and_leaves_nothing() -> Result<()> {
    let Some(package) = std::env::var_os(PACKAGE) else {
        println!("skipped: {PACKAGE} names no package; `cargo xtask bundle --check` makes one");
        return Ok(());
    };
    let installed = Installed::install(Path::new(&package))?;
    for file in FILES {
        ensure!(Path::new(file).is_file(), "the package has no {file}");
    }
    run("desktop-file-validate", &[FILES[2]])?;
    let entry = fs::read_to_string(FILES[2])?;
    ensure!(entry.contains("x-scheme-handler/gogrid"), "{entry}");
    let icons =
        installed.files()?.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "png")).count();
    ensure!(icons >= 3, "icons of {icons} sizes");

    let session = DesktopSession::new().await?;
    let mut app = App::start_installed(&session.desktop, Path::new(FILES[0]), &["--background"])?;
    wait_line(&session.tray.item(SOON).await?, NOT_JOINED).await?;
    let worker = fs::read_link(format!("/proc/{}/exe", app.worker()?.pid))?;
    assert_eq!(worker, Path::new(FILES[1]));

    let somebody = Somebody::new(session.desktop.scratch())?;
    let (own, other) = (somebody.autostart("GoGrid", FILES[0])?, somebody.autostart("Other", "/usr/bin/other")?);
    let files = installed.files()?;
    installed.remove()?;
    app.wait_gone(SOON).await?;
    ensure!(!own.exists(), "the entry for the login is still there");
    ensure!(other.exists(), "another program's entry has gone");
    let left: Vec<_> = files.into_iter().filter(|path| path.is_file()).collect();
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

/// The installed package. Dropping it removes the package.
struct Installed {
    name: String,
    removed: bool,
}

impl Installed {
    fn install(package: &Path) -> Result<Self> {
        let path = package.to_str().context("the package's path is UTF-8")?;
        let name = run("dpkg-deb", &["--field", path, "Package"])?.trim().to_owned();
        // A test must not remove the GoGrid that somebody uses.
        for file in FILES {
            ensure!(!Path::new(file).exists(), "{file} is there already: not installing over it");
        }
        run("dpkg", &["--install", path])?;
        Ok(Self { name, removed: false })
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        Ok(run("dpkg", &["--listfiles", &self.name])?
            .lines()
            .map(PathBuf::from)
            .filter(|path| path.is_file())
            .collect())
    }

    fn remove(mut self) -> Result<()> {
        self.removed = true;
        run("dpkg", &["--purge", &self.name]).map(drop)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if !self.removed {
            let _ = run("dpkg", &["--purge", &self.name]);
        }
    }
}

/// Another user of this machine. Dropping it removes the user.
struct Somebody {
    name: String,
    home: PathBuf,
}

impl Somebody {
    fn new(folder: &Path) -> Result<Self> {
        let (name, home) = (format!("gogrid-{}", std::process::id()), folder.join("somebody"));
        fs::create_dir(&home)?;
        let path = home.to_str().context("the home's path is UTF-8")?;
        run("useradd", &["--system", "--no-create-home", "--home-dir", path, &name])?;
        let somebody = Self { name, home };
        somebody.own(&somebody.home)?;
        Ok(somebody)
    }

    /// Writes an autostart entry of theirs, as the app and other programs do.
    fn autostart(&self, name: &str, program: &str) -> Result<PathBuf> {
        let folder = self.home.join(AUTOSTART);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.desktop"));
        fs::write(&path, format!("[Desktop Entry]\nType=Application\nName={name}\nExec={program} --background\n"))?;
        for owned in [&self.home.join(".config"), &folder, &path] {
            self.own(owned)?;
        }
        Ok(path)
    }

    fn own(&self, path: &Path) -> Result<()> {
        let id = |flag| anyhow::Ok(run("id", &[flag, &self.name])?.trim().parse::<u32>()?);
        chown(path, Some(id("-u")?), Some(id("-g")?)).with_context(|| format!("giving away {}", path.display()))
    }
}

impl Drop for Somebody {
    fn drop(&mut self) {
        let _ = run("userdel", &[&self.name]);
    }
}

fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {} {}", args.join(" "), output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
