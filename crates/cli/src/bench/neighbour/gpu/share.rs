//! The GPU's time under limits, as counted by NVML and by the worker.

use super::peak::Peak;
use crate::bench::neighbour::{
    load::Asked,
    report::Row,
    selection::Selection,
    site::{SETTLE, Site},
    windows::Accuracy,
};
use anyhow::Result;
use gogrid_limits::Gpu;
use gogrid_panel_api::{Request, Response, Status};
use gogrid_panel_client::{ANSWER_TIMEOUT, WorkerClient};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Limits, in percent of the GPU's time.
const LIMITS: [u32; 3] = [25, 50, 75];
/// The limit of GPU memory beside them: one and a half times what model, sessions and runtime take.
const MEMORY: &str = "3GiB";
/// A window is right if both counts are this close.
const CLOSE: f64 = 0.03;
/// The part of the windows that must be right.
const WITHIN: f64 = 0.95;
/// The interval of the statuses in a window. NVML averages over a sixth of a second to a second.
const STATUS_EVERY_MS: u32 = 100;
const WINDOW: Duration = Duration::from_secs(1);
/// After this time the worker has learned the cost of the work.
const LEARNED: Duration = Duration::from_secs(12);
/// If slices wait for less than this part of a window, nothing holds the work back: it does not fill the limit.
const WAITED: f64 = 0.03;
/// The limit while the work changes. Answers alone can fill it.
const CHANGING: u32 = 25;
/// Changes of the work, and windows after each.
const CHANGES: usize = 6;
const BETWEEN: usize = 6;

/// A limit that the work does not fill is not missed.
const BAR: &str = "95 % within 3 points of each other and of the limit, or below it without waiting; none over by 3";

/// One window. All fields are parts of its time.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// By NVML, for all processes. The bench runs nothing else on the GPU.
    seen: f64,
    /// By the worker's own accounting.
    own: f64,
    /// The time that slices waited for the pacer.
    waited: f64,
}

/// Measures a site's GPU.
pub(super) struct Shares<'a> {
    site: &'a mut Site,
    selection: &'a Selection,
    pub(super) peak: Peak,
}

impl<'a> Shares<'a> {
    pub(super) fn new(site: &'a mut Site, selection: &'a Selection) -> Self {
        Self { site, selection, peak: Peak::default() }
    }

    /// Changing work, from the worker's first slice on, so that its learning is measured too.
    pub(super) async fn changing(&mut self) -> Result<Row> {
        let (name, bar) = (format!("GPU limit {CHANGING} %, changing work"), "no window over by 3 points");
        self.selection.announce(&name);
        self.limit(&CHANGING.to_string()).await?;
        let mut seen = Vec::new();
        for asked in [Asked::Answers, Asked::Prompts].into_iter().cycle().take(CHANGES) {
            let _load = self.site.ask(asked)?;
            match self.windows(BETWEEN).await? {
                Ok(windows) => seen.extend(windows.iter().map(|window| window.seen)),
                Err(why) => return Ok(Row::not_measured(name, why, bar)),
            }
        }
        self.site.unlimited().await?;
        let accuracy = Accuracy::of(&seen, share(CHANGING));
        let (mean, most) = (100.0 * accuracy.mean, f64::from(CHANGING) + 100.0 * accuracy.over);
        let measured = format!("NVML {mean:.1} %, at most {most:.1}, in {} windows", seen.len());
        Ok(Row::new(name, measured, bar, accuracy.over <= CLOSE, json!({ "cap": CHANGING, "nvml": seen })))
    }

    /// Steady work under each limit.
    pub(super) async fn steady(&mut self, asked: Asked) -> Result<Vec<Row>> {
        let work = if asked == Asked::Prompts { "prompts" } else { "answers" };
        let _load = self.site.ask(asked)?;
        sleep(LEARNED).await;
        let mut rows = Vec::new();
        for percent in LIMITS {
            let name = format!("GPU limit {percent} %, {work}");
            self.selection.announce(&name);
            self.limit(&percent.to_string()).await?;
            rows.push(match self.windows(self.selection.windows).await? {
                Ok(windows) => judge(name, share(percent), &windows),
                Err(why) => Row::not_measured(name, why, BAR),
            });
        }
        self.site.unlimited().await?;
        Ok(rows)
    }

    async fn limit(&mut self, percent: &str) -> Result<()> {
        self.site.limit(&[("gpu", percent), ("gpu-memory", MEMORY)]).await?;
        sleep(SETTLE).await;
        Ok(())
    }

    /// This many windows, or why NVML does not tell.
    async fn windows(&mut self, count: usize) -> Result<Result<Vec<Window>, String>> {
        let mut follower = self.site.client().await?;
        follower.send(&Request::Follow { every_ms: STATUS_EVERY_MS }).await?;
        let mut windows = Vec::with_capacity(count);
        while windows.len() < count {
            match window(&mut follower, &mut self.peak).await? {
                Ok(window) => windows.push(window),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(windows))
    }
}

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

fn judge(name: String, cap: f64, windows: &[Window]) -> Row {
    let right = |window: &&Window| {
        let (agree, met) = ((window.seen - window.own).abs() <= CLOSE, (window.seen - cap).abs() <= CLOSE);
        agree && (met || window.seen < cap && window.waited <= WAITED)
    };
    let within = windows.iter().filter(right).count() as f64 / windows.len().max(1) as f64;
    let of = |value: fn(&Window) -> f64| windows.iter().map(value).collect::<Vec<_>>();
    let (seen, own, waited) = (of(|window| window.seen), of(|window| window.own), of(|window| window.waited));
    let [nvml, counted, held] = [&seen, &own, &waited].map(|values| Accuracy::of(values, cap));
    let measured = format!(
        "NVML {:.1} %, at most {:.1}, own {:.1} %, waiting {:.0} %; {:.0} % of {} windows right",
        100.0 * nvml.mean,
        100.0 * (cap + nvml.over),
        100.0 * counted.mean,
        100.0 * held.mean,
        100.0 * within,
        windows.len()
    );
    let raw = json!({ "cap": cap, "nvml": seen, "own": own, "waited": waited, "within": within });
    Row::new(name, measured, BAR, within >= WITHIN && nvml.over <= CLOSE, raw)
}

async fn window(follower: &mut WorkerClient, peak: &mut Peak) -> Result<Result<Window, String>> {
    let mut seen = Vec::new();
    let first = next(follower).await?;
    let start = Instant::now();
    loop {
        let status = next(follower).await?;
        let gpu = match gpu(&status) {
            Ok(gpu) => gpu,
            Err(why) => return Ok(Err(why)),
        };
        match gpu.load.clone().into_result() {
            Ok(load) => seen.push(f64::from(load.total)),
            Err(why) => return Ok(Err(why)),
        }
        peak.record(gpu, status.usage.limit_bytes);
        let elapsed = start.elapsed();
        if elapsed >= WINDOW {
            let busy = status.contribution.busy_seconds - first.contribution.busy_seconds;
            let mean = seen.iter().sum::<f64>() / seen.len() as f64;
            let waited = status.contribution.waited_seconds - first.contribution.waited_seconds;
            let [own, waited] = [busy, waited].map(|seconds| seconds / elapsed.as_secs_f64());
            return Ok(Ok(Window { seen: mean, own, waited }));
        }
    }
}

async fn next(follower: &mut WorkerClient) -> Result<Status> {
    loop {
        if let Response::Status(status) = follower.next_within(ANSWER_TIMEOUT).await? {
            return Ok(*status);
        }
    }
}

fn gpu(status: &Status) -> Result<&Gpu, String> {
    let sample = status.sample.as_ref().ok_or("there is no sample of the machine yet")?;
    sample.gpu.as_ref().ok_or("the worker sees no GPU")?.known().ok_or_else(|| "NVML does not answer".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::neighbour::report::Verdict;

    fn verdict(seen: f64, own: f64, waited: f64) -> Verdict {
        judge("limit".into(), 0.5, &[Window { seen, own, waited }]).verdict
    }

    #[test]
    fn both_counts_must_be_close_to_each_other_and_to_the_limit() {
        assert_eq!(verdict(0.48, 0.5, 0.2), Verdict::Ok);
        assert_eq!(verdict(0.48, 0.52, 0.2), Verdict::Missed);
        assert_eq!(verdict(0.54, 0.53, 0.2), Verdict::Missed);
    }

    #[test]
    fn less_than_the_limit_is_right_only_where_nothing_waits() {
        assert_eq!(verdict(0.4, 0.41, 0.0), Verdict::Ok);
        assert_eq!(verdict(0.4, 0.41, 0.2), Verdict::Missed);
        assert_eq!(verdict(0.4, 0.5, 0.0), Verdict::Missed);
    }

    #[test]
    fn one_window_over_the_limit_is_too_many() {
        let windows = vec![Window { seen: 0.5, own: 0.5, waited: 0.3 }; 99];
        let over = Window { seen: 0.54, own: 0.54, waited: 0.3 };
        assert_eq!(judge("limit".into(), 0.5, &windows).verdict, Verdict::Ok);
        assert_eq!(judge("limit".into(), 0.5, &[windows, vec![over]].concat()).verdict, Verdict::Missed);
    }
}
