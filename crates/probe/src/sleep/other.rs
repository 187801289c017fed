use super::SleepEvent;

/// Nobody tells.
pub(super) fn watch(_told: impl FnMut(SleepEvent)) {}
