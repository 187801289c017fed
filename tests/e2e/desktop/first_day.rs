//! The whole story: start, join, lend, watch, limit, pause, quit.

use super::session::{DesktopSession, NOT_JOINED, empty_grid, keep_answering, wait_line};
use anyhow::{Context, Result, bail, ensure};
use gogrid_panel_api::{State, Status};
use gogrid_testkit::{
    MODEL, SOON, ask, content,
    desktop::{App, Control, ENTER, Page, TrayItem, WebDriver, find},
    wait_until,
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// The deadline for the worker's end after `Quit`. The app kills it after two seconds.
const QUIT: Duration = Duration::from_secs(5);

/// The accepted part of all cores' time under a limit of 10 %, on a machine that tests share. Without a limit the
/// worker takes half of two cores.
const TEN_PERCENT: f64 = 0.16;
/// Long compared with the kernel's ticks.
const MEASURED: Duration = Duration::from_secs(3);
/// The unit of a process's CPU time.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::test]
async fn a_machine_joins_by_its_window_answers_and_obeys_tray_and_page() -> Result<()> {
    let (session, mut cluster) = (DesktopSession::new().await?, empty_grid().await?);
    // The first start opens the window by itself.
    let mut app = App::start_driven(&session.desktop, &[])?;
    let item = session.tray.item(SOON).await?;
    wait_line(&item, NOT_JOINED).await?;
    let driver = WebDriver::start(&session.desktop, &app).await?;
    let page = driver.page().await?;

    welcome(&page, &cluster.invite(&[]).await?).await?;
    let entry = session.desktop.home().join(".config/autostart/GoGrid.desktop");
    let entry = fs::read_to_string(entry).context("the entry for the login")?;
    ensure!(entry.contains("--background") && entry.contains("gogrid-desktop"), "{entry}");

    cluster.ready(MODEL).await?;
    let answer = cluster.api().chat(ask("What is the capital of Japan?")).await?;
    assert_eq!(content(&answer), "The capital of Japan is Tokyo.");

    tokio::select! {
        ended = keep_answering(cluster.api()) => bail!("the answers ended: {ended:?}"),
        steered = steer(&app, &page, &item) => steered?,
    }

    let worker = app.worker()?;
    item.click(&["Quit"]).await?;
    app.wait_gone(QUIT).await?;
    assert!(worker.ticks().is_err(), "the worker has ended as well");
    Ok(())
}

/// The three steps of the first run.
async fn welcome(page: &Page, code: &str) -> Result<()> {
    page.text("welcome", SOON).await?;
    page.type_into("join-code", "not a code", SOON).await?;
    page.click("join", SOON).await?;
    page.wait("join-error", "says why", SOON, |text| !text.is_empty()).await?;
    page.type_into("join-code", code, SOON).await?;
    page.click("join", SOON).await?;
    page.click("preset-full", SOON).await?;
    page.click("welcome-next", SOON).await?;
    page.text("welcome-autostart", SOON).await?;
    page.click("welcome-next", SOON).await?;
    page.text("nav-now", SOON).await.map(drop)
}

/// The figures while answers are in flight.
async fn steer(app: &App, page: &Page, item: &TrayItem) -> Result<()> {
    let mut control = app.control().await?;
    the_charts_move(page).await?;
    pause_and_resume(page, item, &mut control).await?;
    a_limit_holds(page, app, &mut control).await
}

async fn the_charts_move(page: &Page) -> Result<()> {
    for chart in ["chart-cpu", "chart-memory", "chart-tokens"] {
        let points = |text: &str| text.parse::<usize>().unwrap_or(0);
        let first = points(&page.wait_attribute(chart, "data-points", SOON, |text| points(text) > 0).await?);
        page.wait_attribute(chart, "data-points", SOON, |text| points(text) > first).await?;
    }
    let figure = page.wait_attribute("chart-tokens", "data-last", SOON, starts_above_zero).await?;
    ensure!(starts_above_zero(&figure), "{figure}");
    page.wait("stages", "names the model", SOON, |text| text.contains(MODEL)).await?;
    page.wait("state", "says that it works", SOON, |text| text == "Working").await.map(drop)
}

/// Whether a text such as `14` or `6 %` begins with a number above zero.
fn starts_above_zero(text: &str) -> bool {
    let number: String = text.chars().take_while(|sign| sign.is_ascii_digit() || *sign == '.').collect();
    number.parse::<f64>().is_ok_and(|number| number > 0.0)
}

/// A pause in the tray shows in the page, and its end in the page shows in the tray.
async fn pause_and_resume(page: &Page, item: &TrayItem, control: &mut Control) -> Result<()> {
    item.click(&["Pause"]).await?;
    page.wait("state", "says that it is paused", SOON, |text| text == "Paused").await?;
    wait_line(item, "Paused until you resume").await?;
    assert_eq!(control.status().await?.state, State::Paused);
    page.click("resume", SOON).await?;
    item.wait_menu("the tray offers to pause", SOON, |menu| find(menu, &["Pause"]).map(drop)).await?;
    page.text("pause", SOON).await?;

    item.click(&["Pause for…", "15 minutes"]).await?;
    item.wait_menu("the tray says until when", SOON, |menu| {
        menu.first()?.label.strip_prefix("Paused until ")?.contains(':').then_some(())
    })
    .await?;
    item.click(&["Resume"]).await?;
    page.text("pause", SOON).await.map(drop)
}

/// A limit that is typed into the page holds at once, by the CPU time of the worker's process.
async fn a_limit_holds(page: &Page, app: &App, control: &mut Control) -> Result<()> {
    page.click("nav-limits", SOON).await?;
    page.type_into("limit-cpu", &format!("140%{ENTER}"), SOON).await?;
    page.wait("limit-cpu-error", "names the range", SOON, |text| text.contains("100")).await?;
    page.type_into("limit-cpu", &format!("10%{ENTER}"), SOON).await?;
    let taken = |status: &Status| (status.allowance.cpu.per_mille() <= 100).then_some(status.contribution.tokens);
    let before = control.wait_status("the limit is taken", SOON, taken).await?;
    let share = cpu_share(app).await?;
    assert!(share <= TEN_PERCENT, "{share}");
    let status = control.status().await?;
    assert!(status.contribution.tokens > before, "it worked all the time: {status:#?}");
    page.click("nav-now", SOON).await
}

/// The worker's part of all cores during [`MEASURED`].
async fn cpu_share(app: &App) -> Result<f64> {
    let worker = app.worker()?;
    let (start, before) = (Instant::now(), worker.ticks()?);
    wait_until("time passes", SOON, async || Ok((start.elapsed() >= MEASURED).then_some(()))).await?;
    let cores = std::thread::available_parallelism()?.get() as f64;
    Ok((worker.ticks()? - before) as f64 / TICKS_PER_SECOND / start.elapsed().as_secs_f64() / cores)
}
