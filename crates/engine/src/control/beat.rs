use super::stages::Stages;
use crate::slices::Speed;
use gogrid_wire::control::{Beat, StageBeat, StageSpeed};
use std::{sync::atomic::Ordering, time::Duration};

/// A sign of life goes out this often.
const IDLE: Duration = Duration::from_secs(1);
/// And this often while there are sessions: users wait for them.
const BUSY: Duration = Duration::from_millis(250);

/// The time from this beat to the next.
pub(super) fn interval(beat: &Beat) -> Duration {
    let busy = beat.stages.iter().any(|stage| stage.sessions > 0);
    if busy { BUSY } else { IDLE }
}

impl Stages {
    /// What the stages in memory do now.
    pub(super) fn beat(&self) -> Beat {
        let slowdown = self.loader().paced.slowdown();
        let stages = self.loaded().map(|(epoch, gauge)| StageBeat {
            epoch,
            sessions: gauge.sessions.load(Ordering::Relaxed),
            kv_used: gauge.kv_used.load(Ordering::Relaxed),
            speed: gauge.speed().and_then(|speed| at_allowance(speed, slowdown)),
        });
        Beat { stages: stages.collect() }
    }
}

/// What a stage takes under limits; `None` while nothing is allowed.
fn at_allowance(speed: Speed, slowdown: f64) -> Option<StageSpeed> {
    let nanos = |seconds: f64| (seconds * slowdown * 1e9) as u64;
    let Speed { layer, head, prompt_layer } = speed;
    let speed = StageSpeed { layer: nanos(layer), head: head.map(nanos), prompt_layer: prompt_layer.map(nanos) };
    slowdown.is_finite().then_some(speed)
}
