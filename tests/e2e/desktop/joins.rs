//! Every end of an attempt to join is shown where it was begun, with the code kept; and the tray leads there.

use super::session::{DesktopSession, NOT_JOINED, empty_grid, wait_line};
use anyhow::{Context, Result, ensure};
use gogrid_testkit::{
    SOON,
    desktop::{App, IDENTIFIER, Page, WebDriver, find},
    wait_until,
};
use gogrid_wire::{InviteToken, JoinCode};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Longer than the code is valid.
const EXPIRES: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_join_that_fails_says_why_where_it_was_begun_and_keeps_the_code() -> Result<()> {
    let (session, mut cluster) = (DesktopSession::new().await?, empty_grid().await?);
    let used = cluster.invite(&["--uses", "1"]).await?;
    cluster.join_worker(&used)?;
    let is_in = |status: &Value| (status["workers"].as_array()?.len() == 1).then_some(());
    cluster.wait_status("another machine has used the code", SOON, is_in).await?;
    let (expired, made) = (cluster.invite(&["--expires", "1s"]).await?, Instant::now());
    let good: JoinCode = cluster.invite(&[]).await?.parse()?;
    let foreign = JoinCode { token: InviteToken([7; 16]), ..good }.to_string();
    let unused = cluster.invite(&[]).await?;

    let app = App::start_driven(&session.desktop, &[])?;
    wait_line(&session.tray.item(SOON).await?, NOT_JOINED).await?;
    let driver = WebDriver::start(&session.desktop, &app).await?;
    let page = driver.page().await?;
    refused(&page, &used, "was used already").await?;
    wait_until("the code expires", SOON, async || Ok((made.elapsed() > EXPIRES).then_some(()))).await?;
    refused(&page, &expired, "has expired").await?;
    refused(&page, &foreign, "did not make that join code").await?;
    cluster.coordinator().kill()?;
    refused(&page, &unused, "cannot be reached").await?;

    // The same on the page for later.
    for step in ["welcome-skip", "welcome-skip", "welcome-next", "nav-connection"] {
        page.click(step, SOON).await?;
    }
    refused(&page, &unused, "cannot be reached").await?;
    cluster.restart_coordinator().await?;
    let code = cluster.invite(&[]).await?;
    page.type_into("join-code", &code, SOON).await?;
    page.click("join", SOON).await?;
    page.text("leave", SOON).await.map(drop)
}

/// Tries a code on the page.
async fn refused(page: &Page, code: &str, words: &str) -> Result<()> {
    page.type_into("join-code", code, SOON).await?;
    page.click("join", SOON).await?;
    page.wait("join-error", &format!("says {words:?}"), SOON, |text| text.contains(words)).await?;
    ensure!(!page.has("welcome-joined").await? && !page.has("leave").await?, "no membership is claimed");
    let kept = page.script("return document.querySelector('[data-testid=join-code]').value", json!([])).await?;
    ensure!(kept == code, "the code is kept: {kept}");
    Ok(())
}

#[tokio::test]
async fn the_tray_of_a_machine_without_a_grid_leads_to_where_it_joins_one() -> Result<()> {
    let session = DesktopSession::new().await?;
    let data = session.desktop.home().join(".local/share").join(IDENTIFIER);
    fs::create_dir_all(&data)?;
    fs::write(data.join("settings.toml"), "welcomed = true\n")?;
    let app = App::start_driven(&session.desktop, &[])?;
    let item = session.tray.item(SOON).await?;
    wait_line(&item, NOT_JOINED).await?;
    let menu = item.menu().await?;
    ensure!(find(&menu, &["Pause"]).is_none(), "there is nothing to pause: {menu:?}");
    find(&menu, &["Join…"]).context("the tray offers to join")?;
    let driver = WebDriver::start(&session.desktop, &app).await?;
    let page = driver.page().await?;
    page.click("nav-limits", SOON).await?;
    item.click(&["Join…"]).await?;
    page.text("join", SOON).await.map(drop)
}
