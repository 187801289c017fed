//! The most that a machine's administrator allows. The donor may always be stricter, and may always pause.
//!
//! There is one rule: limits are ordered by how much they lend, and for each key the [stricter](crate::order) of the
//! donor's value and the policy's applies. A policy never makes a machine lend more than its donor chose; a bound is the
//! laxest value that the donor can still have.
//!
//! ```text
//! donor's Limits (kept in their file) ─┐
//! Policy ──────────────────────────────┴─ clamp ─▶ Limits in effect ─▶ governor, pacers, disk, network
//! changes ── check ─▶ taken, or refused by name: the donor is told, never overruled silently
//! ```
//!
//! Two pairs of values have no order of their own:
//! * An amount in bytes and one in percent: both are kept (`50% up to 6GiB`), and the machine's total decides.
//! * `when = idle` and `when = schedule`: the stricter of the two is `idle-in-schedule`.

mod file;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use file::PolicyError;

use crate::{Key, Limits, LimitsError, Preset, RequiredSignals, Schedule, Totals, key::DEFAULT};
use std::collections::BTreeMap;

/// Who manages the machine, if the policy does not say.
const UNNAMED: &str = "whoever manages this machine";

/// What a policy does to limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    managed_by: Option<String>,
    /// The laxest limits that it leaves.
    bound: Limits,
    /// The keys that the policy names.
    rules: BTreeMap<&'static str, Rule>,
}

/// What a policy says of one key besides its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Rule {
    hidden: bool,
    /// Whether the bound is also the donor's first value.
    starts: bool,
    /// Whether the rule is on even where the machine does not have its signal.
    required: bool,
}

/// A bound as the donor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The laxest value that the donor can have, as `set` takes it.
    pub text: String,
    /// Whether the key is hidden from the donor.
    pub hidden: bool,
}

impl Policy {
    /// The policy of a machine that nobody manages.
    pub fn none() -> Self {
        Self { managed_by: None, bound: Limits::laxest(), rules: BTreeMap::new() }
    }

    /// Who manages the machine's settings, in their own words.
    pub fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    /// The bound of a key; `None` if the donor alone decides.
    pub fn managed(&self, key: &Key) -> Option<Bound> {
        let rule = self.rules.get(key.name)?;
        Some(Bound { text: key.value(&self.bound), hidden: rule.hidden })
    }

    /// The signals whose rules are on even on a machine that does not have them.
    pub fn required(&self) -> RequiredSignals {
        let keys = Limits::KEYS.iter().filter(|key| self.rules.get(key.name).is_some_and(|rule| rule.required));
        keys.filter_map(Key::signal).collect()
    }

    /// The limits in effect when the donor chose these: for each key the stricter of theirs and the policy's. The governor
    /// gets these. The donor's file keeps their own, so that lifting a policy leaves no trace.
    #[must_use]
    pub fn clamp(&self, limits: &Limits) -> Limits {
        let mut own = limits.clone();
        if self.bound.schedule != Schedule::ALWAYS && !own.when.keeps_hours() {
            // A donor who lends at any hour lends in all hours of the policy. Their own schedule is not in effect.
            own.schedule = Schedule::ALWAYS;
        }
        own.within(&self.bound)
    }

    /// The limits of a donor who has chosen nothing yet: the preset's, and what the policy has `fixed`. They are
    /// [clamped](Self::clamp) like any choice.
    pub fn start(&self, preset: Preset) -> Limits {
        let starts = Limits::KEYS.iter().filter(|key| self.rules.get(key.name).is_some_and(|rule| rule.starts));
        let changes: Vec<_> = starts.map(|key| (key.name, key.value(&self.bound))).collect();
        // A key takes every value that it writes. If one were refused, the preset would still be clamped.
        Limits::of(preset).with(&changes).unwrap_or_else(|_| Limits::of(preset))
    }

    /// Whether the donor may make these changes, in the form that [`Limits::with`] takes. Values that come from a preset or
    /// `default` are clamped, not refused, and so are limits from before the policy.
    ///
    /// # Errors
    /// The first change that is laxer than the policy, with its bound, or that [`Limits::with`] refuses.
    pub fn check<K: AsRef<str>, V: AsRef<str>>(&self, changes: &[(K, V)], totals: &Totals) -> Result<(), LimitsError> {
        let asked = Limits::laxest().with(changes)?;
        for (key, value) in changes {
            let key = Key::find(key.as_ref())?;
            let is_named = self.rules.contains_key(key.name) && value.as_ref().trim() != DEFAULT;
            if is_named && key.exceeds(&asked, &self.bound, totals) {
                return Err(LimitsError::Managed {
                    key: key.name,
                    value: key.value(&asked),
                    bound: key.value(&self.bound),
                    by: self.managed_by().unwrap_or(UNNAMED).into(),
                });
            }
        }
        Ok(())
    }
}

impl Key {
    /// Whether this key's value is laxer than the bound's.
    fn exceeds(&self, limits: &Limits, bound: &Limits, totals: &Totals) -> bool {
        match self.name {
            "gpu-memory" => limits.gpu_memory.exceeds(bound.gpu_memory, totals.gpu_memory),
            "memory" => limits.memory.exceeds(bound.memory, totals.memory),
            "disk" => limits.disk.exceeds(bound.disk, totals.disk),
            _ => self.value(&limits.within(bound)) != self.value(limits),
        }
    }
}
