//! A key store that is missing or locked, or refuses, delays the machine's key and nothing else.

use super::session::{DesktopSession, NOT_JOINED, wait_line};
use anyhow::{Context, Result, ensure};
use gogrid_testkit::{
    SOON,
    desktop::{App, Desktop, KeyRing, Process, SilentPrompter, TrayHost, WebDriver},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// The tray's line when the donor must choose.
const UNDECIDED: &str = "The key store cannot be used";
/// A menu that answers within this time is not blocked.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn without_a_key_store_the_key_goes_into_a_file_once_the_donor_agrees() -> Result<()> {
    let desktop = Desktop::start().await?;
    let tray = TrayHost::start(desktop.bus()).await?;
    the_donor_agrees_to_a_file(&desktop, &tray).await
}

#[tokio::test]
async fn a_key_store_that_says_no_is_no_end() -> Result<()> {
    let desktop = Desktop::start().await?;
    // Nothing on this desktop can ask for the password, which counts as declined.
    let _key_ring = KeyRing::locked(&desktop).await?;
    let tray = TrayHost::start(desktop.bus()).await?;
    the_donor_agrees_to_a_file(&desktop, &tray).await
}

#[tokio::test]
async fn a_locked_key_store_is_waited_for_without_holding_up_anything() -> Result<()> {
    let desktop = Desktop::start().await?;
    let prompter = SilentPrompter::start(&desktop).await?;
    let key_ring = KeyRing::locked(&desktop).await?;
    let tray = TrayHost::start(desktop.bus()).await?;
    let app = App::start_driven(&desktop, &[])?;
    let item = tray.item(SOON).await?;
    item.wait_menu("the tray says that it waits", SOON, |menu| {
        menu.first()?.label.starts_with(UNDECIDED).then_some(())
    })
    .await?;
    let asked = Instant::now();
    item.menu().await?;
    ensure!(asked.elapsed() < AT_ONCE, "the menu took {:?}", asked.elapsed());
    let driver = WebDriver::start(&desktop, &app).await?;
    let page = driver.page().await?;
    page.wait("key-store", "says why", SOON, |text| text.contains("locked")).await?;
    ensure!(app.worker().is_err(), "no worker runs without a key");

    // Somebody unlocks it in another way, and the question stays unanswered.
    key_ring.unlock().await?;
    drop(prompter);
    page.wait("key-store", "says that it was turned down", SOON, |text| text.contains("did not let")).await?;
    page.click_button("Try again", SOON).await?;
    wait_line(&item, NOT_JOINED).await
}

#[tokio::test]
async fn the_key_is_in_the_key_store_and_nowhere_else() -> Result<()> {
    let session = DesktopSession::new().await?;
    let (app, item) = session.app().await?;
    let key =
        session.desktop.run("secret-tool", ["lookup", "service", "org.gogrid.desktop", "username", "machine-key"])?;
    let key = key.trim();
    ensure!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "the key store has no key");
    for process in app.running() {
        nothing_tells(&process, key)?;
    }
    item.click(&["Quit"]).await?;
    let mut app = app;
    app.wait_gone(SOON).await?;
    no_file_has(&app.data(), key.as_bytes())
}

/// The tray asks, the page offers a file, and with it the worker starts.
async fn the_donor_agrees_to_a_file(desktop: &Desktop, tray: &TrayHost) -> Result<()> {
    let app = App::start_driven(desktop, &[])?;
    let item = tray.item(SOON).await?;
    item.wait_menu("the tray says that there is something to choose", SOON, |menu| {
        menu.first()?.label.starts_with(UNDECIDED).then_some(())
    })
    .await?;
    ensure!(app.worker().is_err(), "no worker runs without a key");
    let driver = WebDriver::start(desktop, &app).await?;
    let page = driver.page().await?;
    page.wait("key-store", "says why", SOON, |text| !text.is_empty()).await?;
    page.click_button("Use a file instead", SOON).await?;
    wait_line(&item, NOT_JOINED).await?;
    let file = app.worker_data().join("machine.key");
    let mode = fs::metadata(&file).with_context(|| format!("no {}", file.display()))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    Ok(())
}

/// Neither the arguments nor the environment of a process tell the key.
fn nothing_tells(process: &Process, key: &str) -> Result<()> {
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        ensure!(!contains(&text, key.as_bytes()), "{file} of {} tells the key", process.name);
    }
    Ok(())
}

fn no_file_has(folder: &Path, key: &[u8]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            no_file_has(&path, key)?;
        } else if path.is_file() {
            ensure!(!contains(&fs::read(&path)?, key), "{} tells the key", path.display());
        }
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
