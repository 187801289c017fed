//! The cost of the idle app.

use super::figures_count;
use anyhow::Result;
use gogrid_testkit::desktop::{Figures, measure};
use std::time::Duration;

/// Long enough for what happens every second or every five.
const IDLE: Duration = Duration::from_secs(10);

/// Times are checked only for a release build on an otherwise idle machine; elsewhere they are printed.
#[tokio::test]
async fn it_is_small_and_quiet() -> Result<()> {
    let figures = measure(IDLE).await?;
    println!("{figures:#?}");
    let Figures { start_to_icon, memory_without_window, idle_ticks, window_to_numbers, memory_with_window } = figures;
    assert!(memory_without_window <= 75 * MEGABYTE, "{memory_without_window} bytes without a window");
    assert!(memory_with_window <= 300 * MEGABYTE, "{memory_with_window} bytes with a window");
    assert!(idle_ticks <= 3, "{idle_ticks} ticks in {IDLE:?}");
    if figures_count() {
        assert!(idle_ticks <= 1, "{idle_ticks} ticks in {IDLE:?}");
        assert!(start_to_icon <= Duration::from_millis(1500), "{start_to_icon:?} to the icon");
        assert!(window_to_numbers <= Duration::from_secs(1), "{window_to_numbers:?} to the first numbers");
    }
    Ok(())
}

const MEGABYTE: u64 = 1_000_000;
