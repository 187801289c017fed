//! The cost of the app: memory, CPU time, waiting.

use super::{App, Desktop, IDENTIFIER, KeyRing, Process, TrayHost, TrayItem, WebDriver};
use crate::{SOON, wait_until};
use anyhow::Result;
use std::{
    fs,
    time::{Duration, Instant},
};

/// The time from the worker's first answer to the end of all work of the start.
const SETTLES: Duration = Duration::from_secs(5);

/// The figures of one desktop. Memory is that of the shell and its web processes as proportional set size (PSS), in
/// bytes, without the worker, which has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The time from the start to the icon in the tray.
    pub start_to_icon: Duration,
    /// The memory before a window was opened.
    pub memory_without_window: u64,
    /// The CPU time of the idle app without a window, in ticks of 10 ms.
    pub idle_ticks: u64,
    /// The time from the click in the tray to readable figures in the window, with the driver's own time.
    pub window_to_numbers: Duration,
    /// The memory with an open window and moving charts.
    pub memory_with_window: u64,
}

/// Measures on a desktop of its own, with the app idle for this time.
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

/// Waits until all work of the start is done.
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
