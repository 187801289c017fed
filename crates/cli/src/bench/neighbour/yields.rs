//! The time from the moment somebody needs the machine until the allowance is at its floor.

use super::{report::Row, selection::Selection, site::Site, spin::Spin, windows::percentile};
use anyhow::{Context, Result, bail};
use gogrid_limits::Share;
use gogrid_panel_api::{Request, Response};
use gogrid_panel_client::ANSWER_TIMEOUT;
use rand::RngExt;
use serde_json::json;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// Times that somebody comes.
const TIMES: usize = 20;
/// The share of all cores while nobody is there, and the floor while somebody is, in percent.
const CAP: &str = "75";
const FLOOR: &str = "10";
/// Other programs' load counts above this percentage.
const CEILING: &str = "25";
/// The user is away after this time, the shortest that can be set.
const AWAY_AFTER: &str = "1s";
const AWAY: Duration = Duration::from_millis(1_300);
/// After this time an earlier load no longer shows in the means.
const FORGOTTEN: Duration = Duration::from_millis(1_500);
/// The worker must be free again within this time.
const FREE_WITHIN: Duration = Duration::from_secs(10);
/// A worker that takes longer does not yield at all.
const YIELDS_WITHIN: Duration = Duration::from_secs(5);
/// The random delay before somebody comes, in ms.
const MOMENT_MS: std::ops::Range<u64> = 0..300;
/// The accepted p99, in ms.
const LOAD_BAR_MS: f64 = 300.0;
const INPUT_BAR_MS: f64 = 100.0;

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// A program that uses every core.
    Program,
    /// Somebody who moves the pointer.
    User,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Program => "another program's load until the floor",
            Self::User => "input until the floor",
        }
    }

    const fn bar(self) -> (&'static str, f64) {
        match self {
            Self::Program => ("p99 at most 300 ms", LOAD_BAR_MS),
            Self::User => ("p99 at most 100 ms", INPUT_BAR_MS),
        }
    }

    /// The changes that make the worker forget the last one, and watch for the next.
    const fn changes(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Program => [("others-cpu", "off"), ("others-cpu", CEILING)],
            Self::User => [("idle-after", "1h"), ("idle-after", AWAY_AFTER)],
        }
    }

    const fn forgotten_after(self) -> Duration {
        match self {
            Self::Program => FORGOTTEN,
            Self::User => AWAY,
        }
    }
}

pub(super) async fn rows(site: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    let _load = site.load().await?;
    let mut rows = Vec::new();
    for who in [Who::Program, Who::User] {
        selection.announce(who.name());
        let missing = if who == Who::User { no_pointer().await } else { None };
        rows.push(match missing {
            Some(why) => Row::not_measured(who.name(), why, who.bar().0),
            None => row(site, selection, who).await?,
        });
    }
    Ok(rows)
}

/// Why the pointer cannot be moved on this machine; `None` if it can.
async fn no_pointer() -> Option<String> {
    if std::env::var_os("DISPLAY").is_none() {
        return Some("no display (xvfb-run gives one)".into());
    }
    move_pointer().await.err().map(|error| format!("{error:#}"))
}

async fn move_pointer() -> Result<()> {
    let mut command = Command::new("xdotool");
    command.args(["mousemove_relative", "--", "1", "1", "mousemove_relative", "--", "-1", "-1"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.await.context("xdotool cannot be started")?;
    if status.success() { Ok(()) } else { bail!("xdotool cannot move the pointer") }
}

async fn row(site: &mut Site, selection: &Selection, who: Who) -> Result<Row> {
    site.unlimited().await?;
    // All other rules are off, because a signal that cannot be read counts as somebody.
    let rules = [("cpu", CAP), ("cpu-in-use", FLOOR), ("max-temperature", "off"), ("idle-after", AWAY_AFTER)];
    site.limit(&rules).await?;
    let [forget, watch] = who.changes();
    let mut taken = Vec::new();
    for _ in 0..selection.scaled(TIMES) {
        site.limit(&[forget]).await?;
        sleep(who.forgotten_after()).await;
        site.limit(&[watch]).await?;
        if site.allowed(percent(CAP)?, FREE_WITHIN).await?.is_none() {
            let reason = site.status().await?.reason;
            site.unlimited().await?;
            return Ok(Row::not_measured(who.name(), format!("the worker is not free: {reason}"), who.bar().0));
        }
        let moment = rand::rng().random_range(MOMENT_MS);
        sleep(Duration::from_millis(moment)).await;
        taken.push(come(site, who).await?.as_secs_f64() * 1e3);
    }
    site.unlimited().await?;
    let p99 = percentile(&taken, 99.0);
    let (bar, most) = who.bar();
    let middle = percentile(&taken, 50.0);
    let measured = format!("p99 {p99:.0} ms, middle {middle:.0}, of {}", taken.len());
    Ok(Row::new(who.name(), measured, bar, p99 <= most, json!({ "ms": taken })))
}

fn percent(text: &str) -> Result<Share> {
    Ok(Share::from_percent(text.parse()?))
}

/// The time from their coming until the worker's allowance is at the floor.
async fn come(site: &Site, who: Who) -> Result<Duration> {
    let floor = percent(FLOOR)?;
    let mut follower = site.client().await?;
    // The worker pushes a change of its allowance at once, at any interval.
    follower.send(&Request::Follow { every_ms: 1000 }).await?;
    follower.next_within(ANSWER_TIMEOUT).await?;
    let start = Instant::now();
    let _spin = match who {
        Who::Program => Some(Spin::start(site.cores)?),
        Who::User => {
            // The start of the program counts too: some milliseconds.
            move_pointer().await?;
            None
        }
    };
    let yielded = async {
        loop {
            let Response::Status(status) = follower.next_within(ANSWER_TIMEOUT).await? else { continue };
            if status.allowance.cpu <= floor {
                return anyhow::Ok(start.elapsed());
            }
        }
    };
    timeout(YIELDS_WITHIN, yielded).await.context("the worker does not yield")?
}
