//! A link offers a code, whoever sent it; the donor decides.

use super::session::{NOT_JOINED, Seat, empty_grid, wait_line};
use anyhow::{Result, ensure};
use gogrid_testkit::{
    MODEL, SOON,
    desktop::{App, IDENTIFIER, WebDriver},
    wait_until,
};
use std::fs;

#[tokio::test]
async fn a_link_is_asked_about_and_joins_only_when_the_donor_says_so() -> Result<()> {
    let (seat, mut cluster) = (Seat::new().await?, empty_grid().await?);
    let data = seat.desktop.home().join(".local/share").join(IDENTIFIER);
    fs::create_dir_all(&data)?;
    fs::write(data.join("settings.toml"), "welcomed = true\n")?;
    let app = App::start_driven(&seat.desktop, &[])?;
    let item = seat.tray.item(SOON).await?;
    wait_line(&item, NOT_JOINED).await?;
    let driver = WebDriver::start(&seat.desktop, &app).await?;
    let page = driver.page().await?;

    seat.start_again(&["gogrid://join/../../etc/passwd"]).await?;
    page.wait_words("A link could not be used", SOON).await?;

    // As a browser does it.
    let link = format!("gogrid://join/{}", cluster.invite(&[]).await?);
    seat.start_again(&[&link]).await?;
    page.text("offered", SOON).await?;
    ensure!(app.control().await?.status().await?.connection.is_none(), "nobody has agreed yet");
    page.click("forget", SOON).await?;
    wait_until("the offer is gone", SOON, async || Ok((!page.has("offered").await?).then_some(()))).await?;
    wait_line(&item, NOT_JOINED).await?;

    seat.start_again(&[&link]).await?;
    page.text("offered", SOON).await?;
    page.click("join", SOON).await?;
    cluster.ready(MODEL).await
}
