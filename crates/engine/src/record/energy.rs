//! The energy of the worker's work: by meters where there are any, estimated otherwise.
//!
//! Only what comes on top of the machine at rest is the work's: the meter's figure less that of a quiet moment, times the
//! worker's part of the load. What the machine draws at rest is told apart ([`AtRest`]).

use super::days::WorkDelta;
use gogrid_panel_api::EnergyFigures;
use serde::{Deserialize, Serialize};

/// Power of a busy core of a desktop or laptop beyond that of an idle one, in watts: 3 to 10 are measured on usual
/// machines.
const WATTS_PER_CORE: f64 = 5.0;
/// Below this part of a device's time a moment is quiet.
const QUIET: f32 = 0.05;
/// The figure at rest follows the meter over this many seconds of quiet.
const REST_OVER: f32 = 60.0;

/// What devices draw at rest by their own meters, in watts; `None` without a meter, or before a quiet moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AtRest {
    cpu: Option<f32>,
    gpu: Option<f32>,
}

/// Watt-hours.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Energy {
    pub(super) wh: f64,
    /// The part of it that meters told.
    pub(super) metered_wh: f64,
}

impl AtRest {
    /// Follows the meters through quiet moments.
    pub(super) fn observe(&mut self, work: &WorkDelta) {
        let follow = |rest: &mut Option<f32>, watts: Option<f32>, load: Option<f32>| {
            let quiet = watts.filter(|_| !work.busy && load.is_some_and(|load| load < QUIET));
            let Some(watts) = quiet else { return };
            let part = (work.elapsed.as_secs_f32() / REST_OVER).min(1.0);
            *rest = Some(rest.map_or(watts, |before| before + (watts - before) * part));
        };
        follow(&mut self.cpu, work.cpu_watts, work.cpu_total);
        follow(&mut self.gpu, work.gpu_watts, work.gpu_total);
    }

    /// What all meters together show at rest.
    pub(super) fn watts(&self) -> Option<f32> {
        match (self.cpu, self.gpu) {
            (None, None) => None,
            (cpu, gpu) => Some(cpu.unwrap_or_default() + gpu.unwrap_or_default()),
        }
    }

    /// The energy of work.
    pub(super) fn energy(&self, work: &WorkDelta, figures: &EnergyFigures) -> Energy {
        let hours = work.elapsed.as_secs_f64() / 3600.0;
        let part = |own: f32, total: Option<f32>| match total {
            Some(total) if total > 0.0 => f64::from((own / total).min(1.0)),
            _ => 0.0,
        };
        let above = |watts: f32, rest: f32| f64::from((watts - rest).max(0.0));
        let by_meter =
            work.cpu_watts.zip(self.cpu).map(|(watts, rest)| above(watts, rest) * part(work.cpu, work.cpu_total));
        let cpu = by_meter.unwrap_or_else(|| self.cpu_estimate(work, figures));
        let gpu =
            work.gpu_watts.map(|watts| above(watts, self.gpu.unwrap_or_default()) * part(work.gpu, work.gpu_total));
        let metered = by_meter.unwrap_or_default() + gpu.unwrap_or_default();
        Energy { wh: (cpu + gpu.unwrap_or_default()) * hours, metered_wh: metered * hours }
    }

    fn cpu_estimate(&self, work: &WorkDelta, figures: &EnergyFigures) -> f64 {
        let full = match figures.rest_watts.zip(figures.full_watts) {
            Some((rest, full)) => f64::from((full - rest).max(0.0)),
            None => f64::from(work.cores) * WATTS_PER_CORE,
        };
        full * f64::from(work.cpu)
    }
}

/// How the energy of work like this is found, for people.
pub(super) fn method(work: &WorkDelta, figures: &EnergyFigures) -> String {
    let cpu = match (work.cpu_watts, figures.rest_watts.zip(figures.full_watts)) {
        (Some(_), _) => "Processor: measured by its own meter (RAPL). What it draws above its rest counts, times \
                         GoGrid's part of the load."
            .to_owned(),
        (None, Some((rest, full))) => format!(
            "Processor: an estimate, because its own meter cannot be read. You entered {rest} W at rest and {full} W \
             with all cores busy; the difference counts, times GoGrid's part of all cores' time."
        ),
        (None, None) => format!(
            "Processor: an estimate, because its own meter cannot be read. Each core that GoGrid keeps busy counts as \
             {WATTS_PER_CORE} W."
        ),
    };
    let gpu = match (work.gpu_total, work.gpu_watts) {
        (None, None) => "",
        (_, Some(_)) => {
            " GPU: measured. The power that its driver tells above its rest counts, times GoGrid's part of \
                         the load."
        }
        (Some(_), None) => " GPU: its driver does not tell its power, so it counts nothing.",
    };
    cpu + gpu
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    fn work(busy: bool, cpu: f32, total: f32) -> WorkDelta {
        WorkDelta { elapsed: HOUR, busy, cpu, cpu_total: Some(total), cores: 8, ..WorkDelta::default() }
    }

    fn energy(rest: &AtRest, work: &WorkDelta, figures: &EnergyFigures) -> (f64, f64) {
        let Energy { wh, metered_wh } = rest.energy(work, figures);
        (wh.round(), metered_wh.round())
    }

    #[test]
    fn a_meters_figure_above_its_rest_is_shared_by_load() {
        let mut rest = AtRest::default();
        let busy = WorkDelta { cpu_watts: Some(60.0), ..work(true, 0.6, 0.8) };
        rest.observe(&busy);
        assert_eq!(rest.watts(), None, "this moment was not quiet");
        assert_eq!(
            energy(&rest, &busy, &EnergyFigures::default()),
            (24.0, 0.0),
            "estimated before a quiet one: 0.6 × 8 × 5 W"
        );
        rest.observe(&WorkDelta { cpu_watts: Some(20.0), ..work(false, 0.0, 0.02) });
        assert_eq!(rest.watts(), Some(20.0));
        assert_eq!(energy(&rest, &busy, &EnergyFigures::default()), (30.0, 30.0), "(60 - 20) W × 0.6 / 0.8");
    }

    #[test]
    fn the_gpus_driver_counts_beside_an_estimate_of_the_cpu() {
        let mut rest = AtRest::default();
        rest.observe(&WorkDelta { gpu_watts: Some(30.0), gpu_total: Some(0.0), ..work(false, 0.0, 0.0) });
        let busy = WorkDelta { gpu_watts: Some(230.0), gpu: 0.5, gpu_total: Some(1.0), ..work(true, 0.05, 0.1) };
        assert_eq!(energy(&rest, &busy, &EnergyFigures::default()), (102.0, 100.0));
        assert!(method(&busy, &EnergyFigures::default()).contains("GPU: measured."));
    }

    #[test]
    fn the_donors_figures_count_where_there_is_no_meter() {
        let figures = EnergyFigures { rest_watts: Some(45.0), full_watts: Some(125.0), ..EnergyFigures::default() };
        let busy = work(true, 0.25, 0.5);
        assert_eq!(energy(&AtRest::default(), &busy, &figures), (20.0, 0.0));
        let says = method(&busy, &figures);
        assert!(says.contains("You entered 45 W at rest and 125 W"), "{says}");
    }

    #[test]
    fn rest_follows_the_meter_slowly() {
        let mut rest = AtRest { cpu: Some(10.0), gpu: None };
        let quiet = WorkDelta { elapsed: Duration::from_secs(6), cpu_watts: Some(20.0), ..work(false, 0.0, 0.01) };
        rest.observe(&quiet);
        assert_eq!(rest.cpu, Some(11.0));
    }
}
