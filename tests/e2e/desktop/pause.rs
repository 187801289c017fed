//! A click on `Pause` stops the computing at once, no matter what the worker is doing.

use super::{
    figures_count,
    session::{DesktopSession, empty_grid, join, keep_answering},
};
use anyhow::{Result, bail};
use gogrid_panel_api::{Request, State, Status};
use gogrid_testkit::{
    SOON,
    desktop::{Control, TrayItem, find},
};
use std::time::{Duration, Instant};

/// Answers in flight at every click.
const SESSIONS: usize = 16;
const CLICKS: usize = 100;
/// The interval of the polls: short compared with what is measured, and little work for the worker.
const POLL: Duration = Duration::from_millis(2);
/// A worker that has computed nothing for this time has stopped. A slice takes 8 ms.
const QUIET: Duration = Duration::from_millis(100);
/// The bound that the app promises.
const BOUND: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_click_in_the_tray_stops_sixteen_answers_at_once() -> Result<()> {
    let (session, mut cluster) = (DesktopSession::new().await?, empty_grid().await?);
    let (app, item) = session.app().await?;
    let mut control = join(&app, &mut cluster).await?;
    let answering = (0..SESSIONS).map(|_| keep_answering(cluster.api()));
    let mut took = tokio::select! {
        ended = futures::future::try_join_all(answering) => bail!("the answers ended: {ended:?}"),
        took = click_many(&item, &mut control) => took?,
    };
    took.sort_unstable();
    let [median, p99, longest] = [took[CLICKS / 2 - 1], took[CLICKS * 99 / 100 - 1], took[CLICKS - 1]];
    println!("tray click to no more compute: median {median:?}, p99 {p99:?}, longest {longest:?} of {CLICKS}");
    assert!(median <= BOUND, "median {median:?}");
    // A slice that has begun ends after the work of all other programs, which takes longer on a machine that builds or
    // tests.
    assert!(!figures_count() || p99 <= BOUND, "p99 {p99:?}");
    Ok(())
}

async fn click_many(item: &TrayItem, control: &mut Control) -> Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(CLICKS);
    let mut slices = 0;
    for _ in 0..CLICKS {
        let busy = |status: &Status| {
            (status.sessions as usize == SESSIONS && status.contribution.slices > slices).then_some(())
        };
        control.wait_status("all answers are under way", SOON, busy).await?;
        item.wait_menu("the tray offers to pause", SOON, |menu| find(menu, &["Pause"]).map(drop)).await?;
        let clicked = item.click(&["Pause"]).await?;
        let (stopped, done) = last_slice(control).await?;
        took.push(stopped.saturating_duration_since(clicked));
        slices = done;
        control.command(&Request::Resume).await?;
    }
    Ok(took)
}

/// Waits until the worker computes no more. Returns when its final number of slices was first seen, and that number.
async fn last_slice(control: &mut Control) -> Result<(Instant, u64)> {
    let start = Instant::now();
    let mut polls = tokio::time::interval(POLL);
    let mut last: Option<(Instant, u64)> = None;
    loop {
        polls.tick().await;
        let status = control.status().await?;
        let now = Instant::now();
        let slices = status.contribution.slices;
        let since = match last {
            Some((since, seen)) if seen == slices => since,
            _ => now,
        };
        last = Some((since, slices));
        if status.state == State::Paused && now - since >= QUIET {
            return Ok((since, slices));
        }
        if start.elapsed() >= SOON {
            bail!("the worker goes on: {status:#?}");
        }
    }
}
