//! After any kill nothing is left behind, and the tray tells the truth.

use super::session::{DesktopSession, NOT_JOINED, wait_line};
use anyhow::Result;
use gogrid_testkit::{SOON, Signal, desktop::App, wait_until};
use std::time::Duration;

/// How long a worker may outlive its app.
const WORKER_ENDS: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_killed_app_takes_its_worker_and_its_window_with_it() -> Result<()> {
    let session = DesktopSession::new().await?;
    let mut app = App::start(&session.desktop, &[])?;
    let item = session.tray.item(SOON).await?;
    wait_line(&item, NOT_JOINED).await?;
    wait_until("the window is open", SOON, async || {
        Ok(session.desktop.windows()?.contains(&"GoGrid".to_owned()).then_some(()))
    })
    .await?;
    app.worker()?;
    app.program().kill()?;
    app.wait_gone(WORKER_ENDS).await?;
    assert_eq!(session.tray.items().await?, 0);

    // Nothing that it left blocks the next one.
    let (next, _item) = session.app().await?;
    next.worker().map(drop)
}

#[tokio::test]
async fn a_killed_worker_leaves_the_tray_which_says_so_and_brings_it_back() -> Result<()> {
    let session = DesktopSession::new().await?;
    let (mut app, item) = session.app().await?;
    let first = app.worker()?;
    first.signal(Signal::KILL);
    item.wait_menu("the tray says that it stopped", SOON, |menu| {
        menu.first()?.label.starts_with("The engine stopped: it was killed").then_some(())
    })
    .await?;
    assert!(item.icon().await?.len() > 1);
    wait_line(&item, NOT_JOINED).await?;
    assert_ne!(app.worker()?.pid, first.pid);
    app.program().expect_running()?;
    item.click(&["Quit"]).await?;
    app.wait_gone(SOON).await
}

#[tokio::test]
async fn an_app_that_is_asked_to_end_takes_everything_with_it() -> Result<()> {
    let session = DesktopSession::new().await?;
    let (mut app, _item) = session.app().await?;
    app.program().signal(Signal::TERM)?;
    app.wait_gone(SOON).await
}
