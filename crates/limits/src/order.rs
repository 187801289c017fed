//! The order of limits: which of two values lends less.
//!
//! | keys | stricter is |
//! |---|---|
//! | shares, amounts, threads, speed, temperature, others' load, what is lent a day | less; no rule (`off`, `all`) is the laxest |
//! | `idle-after` | longer |
//! | `when` | [`When::stricter`]: `idle` and `schedule` meet in `idle-in-schedule` |
//! | `schedule` | fewer hours |
//! | `on-battery`, `full-screen` | `false`, `stop` |
//! | `stop-for` | more programs |
//! | `preset`, `pause` | not ordered: the donor alone decides |

use crate::{Amount, Limits, Preset, Schedule, Share, When};

impl Limits {
    /// The laxest limits: those of the machine itself.
    pub(crate) const fn laxest() -> Self {
        Self {
            preset: Preset::Full,
            cpu: Share::FULL,
            cpu_threads: None,
            cpu_in_use: Share::FULL,
            gpu: Share::FULL,
            gpu_in_use: Share::FULL,
            gpu_memory: Amount::ALL,
            memory: Amount::ALL,
            disk: Amount::ALL,
            network: None,
            when: When::Always,
            idle_after: Self::MIN_IDLE,
            schedule: Schedule::ALWAYS,
            daily_time: None,
            daily_energy: None,
            on_battery: true,
            max_celsius: None,
            others_cpu: None,
            others_gpu: None,
            stop_for: vec![],
            stop_for_full_screen: false,
            pause: None,
        }
    }

    /// For each key the stricter of this value and the bound's. Programs to stop for are united, so there may be more than
    /// a donor can name.
    #[must_use]
    pub(crate) fn within(&self, bound: &Self) -> Self {
        Self {
            preset: self.preset,
            cpu: self.cpu.min(bound.cpu),
            cpu_threads: less(self.cpu_threads, bound.cpu_threads),
            cpu_in_use: self.cpu_in_use.min(bound.cpu_in_use),
            gpu: self.gpu.min(bound.gpu),
            gpu_in_use: self.gpu_in_use.min(bound.gpu_in_use),
            gpu_memory: self.gpu_memory.stricter(bound.gpu_memory),
            memory: self.memory.stricter(bound.memory),
            disk: self.disk.stricter(bound.disk),
            network: less(self.network, bound.network),
            when: self.when.stricter(bound.when),
            idle_after: self.idle_after.max(bound.idle_after),
            schedule: self.schedule.stricter(bound.schedule),
            daily_time: less(self.daily_time, bound.daily_time),
            daily_energy: less(self.daily_energy, bound.daily_energy),
            on_battery: self.on_battery && bound.on_battery,
            max_celsius: less(self.max_celsius, bound.max_celsius),
            others_cpu: less(self.others_cpu, bound.others_cpu),
            others_gpu: less(self.others_gpu, bound.others_gpu),
            stop_for: both(&self.stop_for, &bound.stop_for),
            stop_for_full_screen: self.stop_for_full_screen || bound.stop_for_full_screen,
            pause: self.pause,
        }
    }
}

/// The smaller of both; a rule that is off is the laxest.
fn less<T: Ord>(own: Option<T>, bound: Option<T>) -> Option<T> {
    own.into_iter().chain(bound).min()
}

fn both(own: &[String], bound: &[String]) -> Vec<String> {
    let missing = bound.iter().filter(|name| !own.iter().any(|known| known.eq_ignore_ascii_case(name)));
    own.iter().chain(missing).cloned().collect()
}
