//! One app per desktop: a second instance shows the window of the first.

use super::session::DesktopSession;
use anyhow::Result;
use gogrid_testkit::{SOON, wait_until};

/// The title of the app's window.
const WINDOW: &str = "GoGrid";

#[tokio::test]
async fn a_second_start_opens_the_window_of_the_first_and_raises_it_when_it_is_open() -> Result<()> {
    let session = DesktopSession::new().await?;
    let (mut app, _item) = session.app().await?;
    assert!(!session.desktop.windows()?.contains(&WINDOW.to_owned()), "--background opens no window");

    session.start_again(&[]).await?;
    wait_until("the window is open", SOON, async || {
        Ok(session.desktop.windows()?.contains(&WINDOW.to_owned()).then_some(()))
    })
    .await?;
    session.desktop.run("xdotool", ["search", "--name", &format!("^{WINDOW}$"), "windowminimize", "--sync"])?;
    session.start_again(&[]).await?;
    wait_until("the window is in front", SOON, async || {
        let front = session.desktop.run("xdotool", ["getactivewindow", "getwindowname"]);
        Ok(front.is_ok_and(|name| name.trim() == WINDOW).then_some(()))
    })
    .await?;

    let windows = session.desktop.windows()?;
    assert_eq!(windows.iter().filter(|title| *title == WINDOW).count(), 1, "{windows:?}");
    assert_eq!(session.tray.items().await?, 1);
    app.program().expect_running()
}

#[tokio::test]
async fn a_closed_window_leaves_the_tray_and_takes_its_processes_with_it() -> Result<()> {
    let session = DesktopSession::new().await?;
    let (mut app, item) = session.app().await?;
    let before = app.shell().len();
    for _ in 0..2 {
        item.click(&["Open GoGrid"]).await?;
        wait_until("the window is open", SOON, async || {
            Ok(session.desktop.windows()?.contains(&WINDOW.to_owned()).then_some(()))
        })
        .await?;
        let drawn = || app.shell().iter().any(|process| process.name.starts_with("WebKitWeb"));
        wait_until("a process draws the window", SOON, async || Ok(drawn().then_some(()))).await?;
        session.desktop.run("wmctrl", ["-F", "-c", WINDOW])?;
        wait_until("what drew the window has ended", SOON, async || Ok((!drawn()).then_some(()))).await?;
    }
    assert!(app.shell().len() <= before + 1, "at most the web view's network process stays: {:?}", app.shell());
    app.program().expect_running()
}
