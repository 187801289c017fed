//! What the app costs: memory, processor time, waiting.

use super::{App, Desktop, IDENTIFIER, KeyRing, Process, TrayHost, TrayItem, WebDriver};
use crate::{SOON, wait_until};
use anyhow::Result;
use std::{
    fs,
    time::{Duration, Instant},
};

/// From the worker's first answer to the last thing that a start does.
const SETTLES: Duration = Duration::from_secs(5);

/// Figures of one desktop. Memory is that of the shell and its web processes, by their part of it (PSS), in bytes; the
/// worker has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// From the start to the icon in the tray.
    pub start_to_icon: Duration,
    /// Before a window was opened.
    pub memory_without_window: u64,
    /// Processor time of the idle app without a window, in ticks of 10 ms.
    pub idle_ticks: u64,
    /// From the click in the tray to figures that could be read from outside: it contains the driver's own time.
    pub window_to_numbers: Duration,
    /// With the window open and charts that move.
    pub memory_with_window: u64,
}

/// Measures a desktop on which nothing else happens, idle for this long.
///
/// # Errors
/// When the app does not start or shows nothing.
pub async fn measure(idle: Duration) -> Result<Figures> {
    let desktop = Desktop::start().await?;
    let _key_ring = KeyRing::unlocked(&desktop).await?;
    let tray = TrayHost::start(desktop.bus()).await?;
    let data = desktop.home().join(".local/share").join(IDENTIFIER);
    fs::create_dir_all(&data)?;
    fs::write(data.join("settings.toml"), "welcomed = true\n")?;

    let mut app = App::start(&desktop, &["--background"])?;
    let item = tray.item(SOON).await?;
    let start_to_icon = item.registered().duration_since(app.started());
    settled(&item).await?;
    let memory_without_window = memory(&app.shell())?;
    let before = ticks(&app.shell())?;
    pass(idle).await?;
    let idle_ticks = ticks(&app.shell())? - before;
    item.click(&["Quit"]).await?;
    app.wait_gone(SOON).await?;

    let app = App::start_driven(&desktop, &["--background"])?;
    let item = tray.item(SOON).await?;
    settled(&item).await?;
    let driver = WebDriver::start(&desktop, &app).await?;
    let clicked = item.click(&["Open GoGrid"]).await?;
    let page = driver.page().await?;
    page.wait("value-cpu", "has a figure", SOON, |text| text.contains('%')).await?;
    let window_to_numbers = clicked.elapsed();
    let some = |text: &str| text.parse::<usize>().is_ok_and(|points| points > 2);
    page.wait_attribute("chart-cpu", "data-points", SOON, some).await?;
    let memory_with_window = memory(&app.shell())?;
    Ok(Figures { start_to_icon, memory_without_window, idle_ticks, window_to_numbers, memory_with_window })
}

/// The app has started, and nothing of the start is left to do.
async fn settled(item: &TrayItem) -> Result<()> {
    let answers = |label: &str| label != "Starting" && !label.starts_with("Waiting");
    item.wait_menu("the worker answers", SOON, |menu| answers(&menu.first()?.label).then_some(())).await?;
    pass(SETTLES).await
}

async fn pass(time: Duration) -> Result<()> {
    let start = Instant::now();
    wait_until("time passes", time + SOON, async || Ok((start.elapsed() >= time).then_some(()))).await
}

fn memory(processes: &[Process]) -> Result<u64> {
    processes.iter().map(Process::memory).sum()
}

fn ticks(processes: &[Process]) -> Result<u64> {
    processes.iter().map(Process::ticks).sum()
}
