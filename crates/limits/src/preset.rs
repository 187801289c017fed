use crate::{Amount, Limits, Schedule, Share, When, value::ValueError};
use std::{fmt, str::FromStr, time::Duration};

/// A set of limits to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Unnoticeable: works only while the user is away.
    Quiet,
    /// The desktop app's first choice: works beside its user.
    Balanced,
    /// For a server that was started for this: no rule except what protects the hardware.
    Full,
}

impl Preset {
    /// Every preset, from the least to the most.
    pub const ALL: [Self; 3] = [Self::Quiet, Self::Balanced, Self::Full];

    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Balanced => "balanced",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::ALL.into_iter().find(|preset| preset.name() == text.trim()).ok_or(ValueError::UnknownWord)
    }
}

const fn percent(percent: u8) -> Share {
    Share::from_percent(percent)
}

const fn part(percent: u8) -> Amount {
    Amount::Part(Share::from_percent(percent))
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

impl Limits {
    /// The limits of a preset, not paused.
    pub fn of(preset: Preset) -> Self {
        match preset {
            Preset::Quiet => Self::quiet(),
            Preset::Balanced => Self::balanced(),
            Preset::Full => Self::full(),
        }
    }

    fn quiet() -> Self {
        Self {
            preset: Preset::Quiet,
            // A quarter keeps most coolers at their lowest speed.
            cpu: percent(25),
            cpu_threads: None,
            cpu_in_use: Share::ZERO,
            // A GPU's fans start later than a CPU's.
            gpu: percent(40),
            gpu_in_use: Share::ZERO,
            // It stays allocated when the user comes back, and a game or an editor must still be able to start.
            gpu_memory: part(50),
            memory: part(25),
            // Room for one small model, on a disk that is rather full.
            disk: part(10),
            // Half of a slow line; a model of 4 GB takes half an hour.
            network: Some(2 * bytesize::MB),
            when: When::Idle,
            // Longer than most pauses in reading or talking.
            idle_after: minutes(10),
            schedule: Schedule::nights(),
            daily_time: None,
            daily_energy: None,
            on_battery: false,
            // Below what makes fans loud.
            max_celsius: Some(75),
            // Without a user, load is usually a job that the user waits for.
            others_cpu: Some(percent(10)),
            others_gpu: Some(percent(5)),
            stop_for: vec![],
            stop_for_full_screen: true,
            pause: None,
        }
    }

    fn balanced() -> Self {
        Self {
            preset: Preset::Balanced,
            // Half leaves every second core, and most of the boost clock, to the user.
            cpu: percent(50),
            cpu_threads: None,
            // Beside a browser and an editor this much is not felt.
            cpu_in_use: percent(10),
            gpu: percent(60),
            // Slices are short, so a desktop that draws 60 frames a second keeps all of them.
            gpu_in_use: percent(15),
            // The rest is for a desktop with several screens and a browser.
            gpu_memory: part(60),
            memory: part(50),
            disk: part(20),
            // A call or a film goes on beside it on most lines.
            network: Some(10 * bytesize::MB),
            when: When::Always,
            // As long as it takes to read a page.
            idle_after: minutes(3),
            schedule: Schedule::nights(),
            daily_time: None,
            daily_energy: None,
            on_battery: false,
            // Laptops throttle from 90 to 100 °C on, graphics cards from 83 to 90 °C on.
            max_celsius: Some(85),
            // Above the murmur of a desktop (about 5 %), below any build or game.
            others_cpu: Some(percent(25)),
            // Above a desktop's drawing, below a film that the GPU decodes and scales.
            others_gpu: Some(percent(10)),
            stop_for: vec![],
            stop_for_full_screen: true,
            pause: None,
        }
    }

    fn full() -> Self {
        Self {
            preset: Preset::Full,
            cpu: Share::FULL,
            cpu_threads: None,
            cpu_in_use: Share::FULL,
            gpu: Share::FULL,
            gpu_in_use: Share::FULL,
            // The driver, its contexts and a console need some of it.
            gpu_memory: part(90),
            // Beside a GPU, main memory is the file cache for weights; without one, half is still safe.
            memory: part(50),
            disk: part(50),
            network: None,
            when: When::Always,
            // Takes effect only if an in-use allowance is set lower.
            idle_after: minutes(3),
            // A server has no nights.
            schedule: Schedule::ALWAYS,
            daily_time: None,
            daily_energy: None,
            // A laptop that serves goes on when the mains fail.
            on_battery: true,
            // Just below where hardware shuts itself down or halves its clock.
            max_celsius: Some(95),
            others_cpu: None,
            others_gpu: None,
            stop_for: vec![],
            stop_for_full_screen: false,
            pause: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lends_at_least_what_the_one_before_does() {
        let [quiet, balanced, full] = Preset::ALL.map(Limits::of);
        for (less, more) in [(&quiet, &balanced), (&balanced, &full)] {
            assert!(less.cpu <= more.cpu && less.cpu_in_use <= more.cpu_in_use);
            assert!(less.gpu <= more.gpu && less.gpu_in_use <= more.gpu_in_use);
            for (less, more) in [(less.gpu_memory, more.gpu_memory), (less.memory, more.memory), (less.disk, more.disk)]
            {
                assert!(less.resolve(1000) <= more.resolve(1000));
            }
            // No rule is the most that a rule can leave.
            assert!(less.network.unwrap_or(u64::MAX) <= more.network.unwrap_or(u64::MAX));
            assert!(less.daily_time.unwrap_or(Duration::MAX) <= more.daily_time.unwrap_or(Duration::MAX));
            assert!(less.daily_energy.unwrap_or(u32::MAX) <= more.daily_energy.unwrap_or(u32::MAX));
            assert!(less.max_celsius.unwrap_or(u8::MAX) <= more.max_celsius.unwrap_or(u8::MAX));
            assert!(less.others_cpu.unwrap_or(Share::FULL) <= more.others_cpu.unwrap_or(Share::FULL));
            assert!(less.others_gpu.unwrap_or(Share::FULL) <= more.others_gpu.unwrap_or(Share::FULL));
            assert!(less.idle_after >= more.idle_after);
            assert!(less.on_battery <= more.on_battery && less.stop_for_full_screen >= more.stop_for_full_screen);
        }
    }

    #[test]
    fn none_lends_more_while_somebody_is_there_than_otherwise() {
        for limits in Preset::ALL.map(Limits::of) {
            assert!(limits.cpu_in_use <= limits.cpu && limits.gpu_in_use <= limits.gpu);
            assert_eq!(limits.pause, None);
        }
    }
}
