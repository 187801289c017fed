use crate::{Load, Signal};
use std::{collections::VecDeque, time::Duration};

/// Loads are judged by their mean over this window. The kernel counts in ticks of 10 ms, so one sample of 50 ms may be
/// off by a fifth, and daemons wake up for a moment on every desktop. A load that stays shows within 150 ms, half of the
/// 300 ms within which the allowance has to be down.
const WINDOW: Duration = Duration::from_millis(150);
/// Samples closer together count as this far apart. Bounds how many are kept.
const MIN_SPAN: Duration = Duration::from_millis(10);

/// Moving average of other programs' load on one device.
#[derive(Debug)]
pub(super) struct OthersLoad {
    /// Time spans and the mean load in each, oldest first, together as long as the window.
    samples: VecDeque<(Duration, f32)>,
    unknown: String,
}

impl OthersLoad {
    pub(super) fn new() -> Self {
        Self { samples: VecDeque::new(), unknown: "no sample was taken yet".into() }
    }

    pub(super) fn reset(&mut self) {
        self.samples.clear();
    }

    /// Takes the mean load since the sample before, `span` ago.
    pub(super) fn observe(&mut self, load: &Signal<Load>, span: Duration) {
        match load {
            Signal::Known(load) if load.others().is_finite() => {
                self.samples.push_back((span.clamp(MIN_SPAN, WINDOW), load.others()));
                let mut sum: Duration = self.samples.iter().map(|(span, _)| *span).sum();
                while let Some((oldest, _)) = self.samples.front().copied()
                    && sum - oldest >= WINDOW
                {
                    sum -= oldest;
                    self.samples.pop_front();
                }
                if let Some((oldest, _)) = self.samples.front_mut() {
                    *oldest -= sum.saturating_sub(WINDOW);
                }
            }
            Signal::Known(_) => self.mark_unknown("the load is not a number"),
            Signal::Unknown(why) | Signal::Absent(why) => self.mark_unknown(why),
        }
    }

    fn mark_unknown(&mut self, why: &str) {
        self.samples.clear();
        why.clone_into(&mut self.unknown);
    }

    /// The mean, between 0 and 1, or why it is unknown.
    pub(super) fn mean(&self) -> Result<f32, &str> {
        let sum: f32 = self.samples.iter().map(|(span, _)| span.as_secs_f32()).sum();
        if sum == 0.0 {
            return Err(&self.unknown);
        }
        Ok(self.samples.iter().map(|(span, load)| span.as_secs_f32() * load).sum::<f32>() / sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn observe(window: &mut OthersLoad, millis: u64, others: f32) -> f32 {
        let load = Load { total: others + 0.25, own: 0.25 };
        window.observe(&Signal::Known(load), Duration::from_millis(millis));
        window.mean().unwrap()
    }

    #[test]
    fn one_noisy_sample_is_averaged_out_and_load_that_stays_shows_in_full() {
        let mut window = OthersLoad::new();
        for _ in 0..5 {
            observe(&mut window, 50, 0.0);
        }
        assert!(observe(&mut window, 50, 0.6) < 0.21);
        assert!(observe(&mut window, 50, 0.6) > 0.39);
        assert!(observe(&mut window, 50, 0.6) > 0.59);
        // A long span is a mean by itself, and the first sample counts at once.
        assert!(observe(&mut window, 2000, 0.1) < 0.11);
        window.reset();
        assert!(observe(&mut window, 50, 0.7) > 0.69);
    }

    #[test]
    fn an_unreadable_load_is_unknown_and_not_averaged_with_older_samples() {
        let mut window = OthersLoad::new();
        observe(&mut window, 100, 0.5);
        window.observe(&Signal::unknown("no such file"), Duration::from_millis(50));
        assert_eq!(window.mean(), Err("no such file"));
        window.observe(&Signal::Known(Load { total: f32::NAN, own: 0.0 }), Duration::from_millis(50));
        assert_eq!(window.mean(), Err("the load is not a number"));
        assert!(observe(&mut window, 50, 0.1) < 0.11);
    }

    proptest! {
        #[test]
        fn is_bounded_in_length_and_between_the_loads_seen(samples in prop::collection::vec((0u64..300, 0f32..=0.7), 1..100)) {
            let mut window = OthersLoad::new();
            for (millis, load) in samples {
                let mean = observe(&mut window, millis, load);
                prop_assert!((0.0..=0.701).contains(&mean));
                prop_assert!(window.samples.len() <= 16);
            }
        }
    }
}
