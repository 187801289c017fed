//! A broken settings file costs a donor nothing but the settings.

use super::session::{DesktopSession, NOT_JOINED, wait_line};
use anyhow::{Context, Result};
use gogrid_testkit::{
    SOON,
    desktop::{App, IDENTIFIER, WebDriver},
};
use std::fs;

/// Half a file, as a power cut leaves it on some file systems.
const BROKEN: &str = "welcomed = true\nmachine_name = \"the blue o";

#[tokio::test]
async fn a_broken_settings_file_is_kept_aside_and_named() -> Result<()> {
    let session = DesktopSession::new().await?;
    let data = session.desktop.home().join(".local/share").join(IDENTIFIER);
    fs::create_dir_all(&data)?;
    fs::write(data.join("settings.toml"), BROKEN)?;

    let app = App::start_driven(&session.desktop, &[])?;
    wait_line(&session.tray.item(SOON).await?, NOT_JOINED).await?;
    let kept = fs::read_dir(&data)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("settings.broken-")));
    let kept = kept.context("the file was not kept aside")?;
    assert_eq!(fs::read_to_string(&kept)?, BROKEN);
    // With the defaults this counts as a first start.
    let driver = WebDriver::start(&session.desktop, &app).await?;
    let page = driver.page().await?;
    for step in ["welcome-skip", "welcome-skip", "welcome-next"] {
        page.click(step, SOON).await?;
    }
    page.wait_words(&kept.display().to_string(), SOON).await
}
