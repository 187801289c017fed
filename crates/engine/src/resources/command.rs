use super::Settings;
use crate::{executor::Executor, ledgers::Ledgers, pace::Paced, record::Record, weights::WeightCache};
use gogrid_limits::Machine;
use gogrid_panel_api::{PauseRequest, RequestError};
use gogrid_probe::{Probe, Source};
use std::time::Duration;
use tokio::sync::oneshot;

/// After a pause of this length memory is given back. Before that, resuming needs no reload.
pub(crate) const LONG_PAUSE: Duration = Duration::from_secs(15 * 60);

/// What the control loop is told.
pub(crate) enum ResourceCommand {
    /// New values of limits; all are taken or none.
    Set(Vec<(String, String)>),
    /// Another preset.
    Preset(String),
    /// Stop computing.
    Pause(PauseRequest),
    /// Go on.
    Resume,
    /// Compute nothing, or go on, for the self-test: as for a pause, but the coordinator is not told.
    Hold(bool),
    /// Compute nothing and tell the coordinator, since the system goes to sleep; or go on, since it is awake.
    Sleep(bool),
    /// Sample the machine now: there is work.
    Sample,
    /// Tell where each signal comes from.
    Sources(oneshot::Sender<Vec<Source>>),
}

/// Where to answer a command.
pub(super) type Reply = oneshot::Sender<Result<(), RequestError>>;

/// What the control loop works with.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) probe: Box<dyn Probe>,
    pub(crate) paced: Paced,
    pub(crate) ledgers: Ledgers,
    pub(crate) executor: Executor,
    pub(crate) weights: WeightCache,
    pub(crate) record: Record,
    pub(crate) gpu: bool,
    /// After a pause of this length memory is given back: [`LONG_PAUSE`], but in tests.
    pub(crate) long_pause: Duration,
}
