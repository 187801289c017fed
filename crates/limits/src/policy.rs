//! What whoever manages the machine allows at most. The donor may always be stricter, and pauses as they like.
//!
//! There is one rule: limits are ordered by how much they lend, and what holds is [the stricter](crate::order) of the donor's
//! value and the policy's, key by key. So a policy never lends more than the donor, and whatever word a bound is written
//! with, it is the laxest value that is left.
//!
//! ```text
//! donor's Limits (kept in their file) ─┐
//! Policy ──────────────────────────────┴─ clamp ─▶ Limits that hold ─▶ governor, pacers, disk, network
//! changes ── check ─▶ taken, or refused by name: the donor is told, not overruled in silence
//! ```
//!
//! Two things are no order by themselves:
//! * An amount in bytes and one in percent: both are kept (`50% up to 6GiB`), and the machine's total decides.
//! * `when = idle` and `when = schedule`: the stricter of both is `idle-in-schedule`.

mod file;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use file::PolicyError;

use crate::{Key, Limits, LimitsError, Preset, Schedule, Totals, key::DEFAULT};
use std::collections::BTreeMap;

/// Who manages the machine, where the policy does not say.
const SOMEBODY: &str = "whoever manages this machine";

/// What a policy does to limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    managed_by: Option<String>,
    /// The laxest limits that are left.
    bound: Limits,
    /// What the policy names.
    rules: BTreeMap<&'static str, Rule>,
}

/// What a policy says of one key, beside its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Rule {
    hidden: bool,
    /// Whether the donor starts from the bound.
    starts: bool,
}

/// What the donor is shown of a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The laxest value that is left, as `set` takes it.
    pub text: String,
    /// Whether the key is kept out of the donor's sight.
    pub hidden: bool,
}

impl Policy {
    /// Nobody manages the machine.
    pub fn none() -> Self {
        Self { managed_by: None, bound: Limits::laxest(), rules: BTreeMap::new() }
    }

    /// Who manages the machine's settings, in their own words.
    pub fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    /// What is said of a key; nothing where the donor alone decides.
    pub fn managed(&self, key: &Key) -> Option<Bound> {
        let rule = self.rules.get(key.name)?;
        Some(Bound { text: key.value(&self.bound), hidden: rule.hidden })
    }

    /// The limits that hold when the donor chose these: for each key the stricter of theirs and the policy's. Only these
    /// go to the governor; only the donor's go to their file, so that a policy that is lifted leaves no trace.
    #[must_use]
    pub fn clamp(&self, limits: &Limits) -> Limits {
        let mut own = limits.clone();
        if self.bound.schedule != Schedule::ALWAYS && !own.when.keeps_hours() {
            // Who lends at any hour lends in all those of the policy; a schedule of theirs is one that never held.
            own.schedule = Schedule::ALWAYS;
        }
        own.within(&self.bound)
    }

    /// What a donor starts with who has chosen nothing yet: the preset's limits, and what the policy has `fixed`. What
    /// holds of it is [clamped](Self::clamp) like any choice.
    pub fn start(&self, preset: Preset) -> Limits {
        let starts = Limits::KEYS.iter().filter(|key| self.rules.get(key.name).is_some_and(|rule| rule.starts));
        let changes: Vec<_> = starts.map(|key| (key.name, key.value(&self.bound))).collect();
        // A key takes every value that it gives. Were one refused, the preset would be within the policy all the same.
        Limits::of(preset).with(&changes).unwrap_or_else(|_| Limits::of(preset))
    }

    /// Whether the donor may make these changes, which [`Limits::with`] takes. What a preset or `default` brings is not
    /// refused but clamped, as are limits that were chosen before there was a policy.
    ///
    /// # Errors
    /// The first change that is laxer than the policy, with its bound; or is no change at all.
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
                    by: self.managed_by().unwrap_or(SOMEBODY).into(),
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
