//! How exactly a limit of CPU time holds, and what it costs in speed.
//!
//! Each limit is measured in rounds. In each round every way of limiting has its turn, and so has no limit. A drift of
//! the machine's speed affects all alike: ratios are taken within a round, and their median counts.

use super::{
    limiter::Limiter,
    report::Row,
    selection::Selection,
    site::{SETTLE, Site},
    windows::{Accuracy, watch},
};
use crate::{args::NeighbourRow, bench::median};
use anyhow::Result;
use serde_json::json;
use std::time::Instant;
use tokio::time::sleep;

/// Limits, in percent of all cores.
const LIMITS: [u32; 4] = [10, 25, 50, 75];
/// Rounds of a limit, among which the windows are divided.
const ROUNDS: usize = 3;
/// The most by which a window may exceed a limit.
const MOST_OVER: f64 = 0.03;
/// The part of the windows that must be within 2 points.
const WITHIN: f64 = 0.95;
/// Other programs that take more than this part of all cores are mentioned.
const BUSY: f64 = 0.1;
/// The accepted tokens per second of CPU time, relative to no limit.
const EFFICIENCY: f64 = 0.95;

/// One way of limiting in one round.
#[derive(Debug, Default, Clone)]
struct Turn {
    shares: Vec<f64>,
    /// Tokens per second.
    rate: f64,
    /// Tokens per second of CPU time.
    per_busy: f64,
    /// The part of all cores that other programs took at the end, which could not be lent.
    others: f64,
}

/// Measures those of rows 1 to 3 that are selected.
pub(super) async fn rows(site: &mut Site, selection: &Selection) -> Result<Vec<Row>> {
    let mut others = Vec::new();
    let mut rows = Vec::new();
    if selection.has(NeighbourRow::OtherLimiters) {
        for limiter in Limiter::OTHERS {
            match limiter.missing(site).await {
                None => others.push(limiter),
                Some(why) => rows.push(Row::not_measured(format!("against {}", limiter.name()), why, "no worse")),
            }
        }
    }
    let free = selection.has(NeighbourRow::Efficiency);
    for percent in LIMITS {
        // `None` is no limit at all.
        let mut ways = Vec::new();
        if free {
            ways.push(None);
        }
        ways.push(Some(Limiter::Ours));
        ways.extend(others.iter().copied().map(Some));
        let mut turns = vec![Vec::new(); ways.len()];
        for round in 1..=ROUNDS {
            for (way, turns) in ways.iter().zip(&mut turns) {
                let name = way.map_or("no limit", Limiter::name);
                selection.announce(&format!("{percent} %, round {round} of {ROUNDS}: {name}"));
                turns.push(turn(site, *way, percent, selection.windows.div_ceil(ROUNDS)).await?);
                site.unlimited().await?;
            }
        }
        let mut turns = ways.into_iter().zip(turns);
        let free = if free { turns.next().map(|(_, turns)| turns) } else { None };
        let Some((_, ours)) = turns.next() else { continue };
        if selection.has(NeighbourRow::CpuLimit) {
            rows.push(limit_row(percent, &ours));
        }
        rows.extend(turns.filter_map(|(way, theirs)| Some(other_row(percent, way?, &ours, &theirs))));
        rows.extend(free.map(|free| efficiency_row(percent, &ours, &free)));
    }
    Ok(rows)
}

async fn turn(site: &mut Site, limiter: Option<Limiter>, percent: u32, windows: usize) -> Result<Turn> {
    let mut load = site.load().await?;
    let hold = match limiter {
        Some(limiter) => Some(limiter.hold(site, percent).await?),
        None => None,
    };
    sleep(SETTLE).await;
    // From the end of one step to the end of another, because a step under a small limit takes a second.
    let (tokens, start, cpu) = (load.step().await?, Instant::now(), site.clock.now()?);
    let shares = watch(site.clock, site.cores, windows).await?;
    let (tokens, elapsed) = (load.step().await? - tokens, start.elapsed());
    let cpu = site.clock.now()? - cpu;
    let sample = site.status().await?.sample;
    let others = sample.and_then(|sample| sample.cpu.known().map(|load| f64::from(load.others()))).unwrap_or(0.0);
    if let Some(hold) = hold {
        hold.lift(site).await?;
    }
    let tokens = tokens as f64;
    Ok(Turn { shares, rate: tokens / elapsed.as_secs_f64(), per_busy: tokens / cpu.as_secs_f64(), others })
}

fn shares(turns: &[Turn]) -> Vec<f64> {
    turns.iter().flat_map(|turn| &turn.shares).copied().collect()
}

fn accuracy(percent: u32, turns: &[Turn]) -> Accuracy {
    Accuracy::of(&shares(turns), f64::from(percent) / 100.0)
}

/// The median ratio of the rounds, rounded to a percent, so that what is shown is what is judged.
fn ratio(a: &[Turn], b: &[Turn], of: fn(&Turn) -> f64) -> f64 {
    let ratios = a.iter().zip(b).map(|(a, b)| of(a) / of(b)).collect();
    (median(ratios) * 100.0).round() / 100.0
}

fn rate(turns: &[Turn]) -> f64 {
    median(turns.iter().map(|turn| turn.rate).collect())
}

fn limit_row(percent: u32, ours: &[Turn]) -> Row {
    let shares = shares(ours);
    let is = accuracy(percent, ours);
    let others = ours.iter().map(|turn| turn.others).fold(0.0, f64::max);
    let mut measured = format!(
        "{} windows of 1 s: mean {:.1} %, {:.0} % within 2 points, at most {:+.1}",
        shares.len(),
        100.0 * is.mean,
        100.0 * is.within,
        100.0 * is.over
    );
    if others > BUSY {
        measured += &format!(" (other programs took {:.0} %)", 100.0 * others);
    }
    let raw = json!({
        "cap": percent, "mean": is.mean, "within": is.within, "over": is.over, "windows": shares, "others": others,
    });
    let met = is.within >= WITHIN && is.over <= MOST_OVER;
    Row::new(format!("CPU limit {percent} %"), measured, "95 % within 2 points, none over by 3", met, raw)
}

fn other_row(percent: u32, limiter: Limiter, ours: &[Turn], theirs: &[Turn]) -> Row {
    let (our, their) = (accuracy(percent, ours), accuracy(percent, theirs));
    let speed = ratio(ours, theirs, |turn| turn.rate);
    // The kernel's quota is always exact; only its speed is compared.
    let (exact, bar) = match limiter {
        Limiter::ControlGroup => (true, "as fast"),
        Limiter::Ours | Limiter::Cpulimit => (our.deviation <= their.deviation, "as exact, as fast"),
    };
    let measured = format!(
        "off by {:.2} points (theirs {:.2}), {:.1} tok/s (theirs {:.1}), {:.0} %",
        100.0 * our.deviation,
        100.0 * their.deviation,
        rate(ours),
        rate(theirs),
        100.0 * speed
    );
    let raw = json!({
        "cap": percent, "limiter": limiter.name(), "deviation": our.deviation, "their_deviation": their.deviation,
        "tokens_per_second": rate(ours), "their_tokens_per_second": rate(theirs), "speed": speed,
        "their_mean": their.mean, "their_windows": shares(theirs),
    });
    Row::new(format!("{percent} % against {}", limiter.name()), measured, bar, exact && speed >= 1.0, raw)
}

fn efficiency_row(percent: u32, ours: &[Turn], free: &[Turn]) -> Row {
    let per_busy = |turns: &[Turn]| median(turns.iter().map(|turn| turn.per_busy).collect());
    let part = ratio(ours, free, |turn| turn.per_busy);
    let measured = format!(
        "{:.0} %: {:.2} tok per CPU second, {:.2} without a limit",
        100.0 * part,
        per_busy(ours),
        per_busy(free)
    );
    let each = |turns: &[Turn]| turns.iter().map(|turn| turn.per_busy).collect::<Vec<_>>();
    let raw = json!({ "cap": percent, "part": part, "limited": each(ours), "unlimited": each(free) });
    Row::new(format!("work per CPU second at {percent} %"), measured, "at least 95 %", part >= EFFICIENCY, raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::neighbour::report::Verdict;

    fn turns(share: f64, rate: f64) -> Vec<Turn> {
        vec![Turn { shares: vec![share; 10], rate, per_busy: rate, others: 0.0 }; ROUNDS]
    }

    #[test]
    fn a_limit_is_missed_by_straying_and_by_overshooting() {
        assert_eq!(limit_row(25, &turns(0.262, 1.0)).verdict, Verdict::Ok);
        assert_eq!(limit_row(25, &turns(0.221, 1.0)).verdict, Verdict::Missed);
        let mut once_over = turns(0.25, 1.0);
        once_over[1].shares[3] = 0.285;
        assert_eq!(accuracy(25, &once_over).within, 29.0 / 30.0);
        assert_eq!(limit_row(25, &once_over).verdict, Verdict::Missed);
    }

    #[test]
    fn others_must_not_be_faster_and_cpulimit_not_more_exact() {
        let ours = turns(0.24, 4.0);
        let verdict = |limiter, theirs: &[Turn]| other_row(25, limiter, &ours, theirs).verdict;
        assert_eq!(verdict(Limiter::Cpulimit, &turns(0.28, 3.9)), Verdict::Ok);
        assert_eq!(verdict(Limiter::Cpulimit, &turns(0.251, 3.9)), Verdict::Missed);
        assert_eq!(verdict(Limiter::ControlGroup, &turns(0.25, 4.0)), Verdict::Ok);
        assert_eq!(verdict(Limiter::ControlGroup, &turns(0.25, 4.2)), Verdict::Missed);
    }

    #[test]
    fn work_per_second_is_compared_within_a_round() {
        let mut ours = turns(0.25, 9.6);
        let mut free = turns(1.0, 10.0);
        // The machine was twice as fast in one round.
        (ours[2].per_busy, free[2].per_busy) = (19.2, 20.0);
        assert_eq!(efficiency_row(25, &ours, &free).verdict, Verdict::Ok);
        assert_eq!(efficiency_row(25, &turns(0.25, 9.0), &free).verdict, Verdict::Missed);
    }
}
