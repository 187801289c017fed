use crate::{Amount, Pause, Preset, RequiredSignals, Sample, Schedule, Share, SignalKind, When};
use std::time::Duration;

/// What the donor lends, and when. Every rule that takes something away is a field; `None` turns the rule off.
///
/// Start from a [`Preset`] ([`Limits::of`]) and change by key ([`Limits::set`]), which checks every value; the ranges
/// below are those of the keys. Fields written directly are not checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Gives every key its value that the settings file does not name.
    pub preset: Preset,
    /// Most of all cores' time. 1 to 100 %.
    pub cpu: Share,
    /// Most threads that compute, 1 to 1024; `None`: as many as there are cores.
    pub cpu_threads: Option<u32>,
    /// The CPU allowance while the user is present. 0 to 100 %. More than `cpu` is not refused but counts as `cpu`, so that
    /// a donor who lowers `cpu` for an evening gets the old value back.
    pub cpu_in_use: Share,
    /// Most of the GPU's time. 1 to 100 %.
    pub gpu: Share,
    /// The GPU allowance while the user is present. 0 to 100 %; more than `gpu` counts as `gpu`.
    pub gpu_in_use: Share,
    /// Most GPU memory.
    pub gpu_memory: Amount,
    /// Most main memory, for weights, KV caches and workspace of a stage on the CPU.
    pub memory: Amount,
    /// Most of the disk, for weights.
    pub disk: Amount,
    /// Most network traffic for weights, in bytes per second, 1000 or more; `None`: no limit.
    pub network: Option<u64>,
    /// When to work at all.
    pub when: When,
    /// The user counts as away after this time without input. 1 s to 24 h, in whole seconds.
    pub idle_after: Duration,
    /// Hours of the week for [`When::Schedule`], in local time.
    pub schedule: Schedule,
    /// Most time in which something is computed on one day of the local calendar, 15 min to 24 h, in whole seconds;
    /// `None`: no limit.
    pub daily_time: Option<Duration>,
    /// Most energy of that work on one day, 1 to 100,000 Wh; `None`: no limit.
    pub daily_energy: Option<u32>,
    /// Work while the machine runs on its battery.
    pub on_battery: bool,
    /// Stop above this temperature of the CPU or GPU, 40 to 110 °C; `None`: no rule.
    pub max_celsius: Option<u8>,
    /// Other programs' CPU load above which the user counts as present, 1 to 100 %; `None`: no rule.
    pub others_cpu: Option<Share>,
    /// Other programs' GPU load above which the user counts as present, 1 to 100 %; `None`: no rule.
    pub others_gpu: Option<Share>,
    /// Programs that stop the work while they run, by name; 32 at most.
    pub stop_for: Vec<String>,
    /// A full-screen program stops the work.
    pub stop_for_full_screen: bool,
    /// The donor's pause.
    pub pause: Option<Pause>,
}

impl Limits {
    /// The shortest `idle_after`. Pauses in typing are shorter.
    pub(crate) const MIN_IDLE: Duration = Duration::from_secs(1);

    /// Whether a rule that is set needs this signal. If that fails, the user counts as present; if the machine does not
    /// have it, the rule is [off](Self::why_off).
    pub fn needs(&self, signal: SignalKind) -> bool {
        match signal {
            SignalKind::UserIdle => !self.idle_after.is_zero(),
            SignalKind::CpuLoad => self.others_cpu.is_some(),
            SignalKind::GpuLoad => self.others_gpu.is_some(),
            SignalKind::Temperature => self.max_celsius.is_some(),
            SignalKind::Power => !self.on_battery,
            SignalKind::FullScreen => self.stop_for_full_screen,
            SignalKind::Programs => !self.stop_for.is_empty(),
        }
    }

    /// Why a rule that is set is off nevertheless: the machine does not have the signal that it needs, and nobody
    /// requires it. `None` if it is on, or not set.
    ///
    /// A donor who lends only while away has asked for that very signal: without it nothing is lent.
    pub fn why_off<'a>(&self, signal: SignalKind, sample: &'a Sample, required: &RequiredSignals) -> Option<&'a str> {
        let is_asked_for = signal == SignalKind::UserIdle && self.when.is_idle_only();
        if !self.needs(signal) || is_asked_for || required.has(signal) {
            return None;
        }
        sample.why_absent(signal)
    }
}
