//! A link only offers a code; the donor decides.

use super::session::{DesktopSession, NOT_JOINED, empty_grid, wait_line};
use anyhow::{Result, ensure};
use gogrid_testkit::{
    MODEL, SOON,
    desktop::{App, IDENTIFIER, WebDriver},
    wait_until,
};
use std::fs;

#[tokio::test]
async fn a_link_is_asked_about_and_joins_only_when_the_donor_says_so() -> Result<()> {
    let (session, mut cluster) = (DesktopSession::new().await?, empty_grid().await?);
    let data = session.desktop.home().join(".local/share").join(IDENTIFIER);
    fs::create_dir_all(&data)?;
    fs::write(data.join("settings.toml"), "welcomed = true\n")?;
    let app = App::start_driven(&session.desktop, &[])?;
    let item = session.tray.item(SOON).await?;
    wait_line(&item, NOT_JOINED).await?;
    let driver = WebDriver::start(&session.desktop, &app).await?;
    let page = driver.page().await?;

    session.start_again(&["gogrid://join/../../etc/passwd"]).await?;
    page.wait_words("A link could not be used", SOON).await?;

    // As a browser opens it.
    let link = format!("gogrid://join/{}", cluster.invite(&[]).await?);
    session.start_again(&[&link]).await?;
    page.text("offered", SOON).await?;
    ensure!(app.control().await?.status().await?.connection.is_none(), "nobody has agreed yet");
    page.click("forget", SOON).await?;
    wait_until("the offer is gone", SOON, async || Ok((!page.has("offered").await?).then_some(()))).await?;
    wait_line(&item, NOT_JOINED).await?;

    session.start_again(&[&link]).await?;
    page.text("offered", SOON).await?;
    page.click("join", SOON).await?;
    cluster.ready(MODEL).await
}
