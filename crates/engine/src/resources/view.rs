//! What the resource controller last sampled and decided. Any task may read it.

use super::{Lent, Settings};
use crate::{executor::StageGauge, membership::Left, pace::Paced, record::Record};
use gogrid_limits::{Allowance, Reason, Sample};
use gogrid_panel_api::{Connection, EventKind, GridAbout, LeftGrid, State as PanelState};
use gogrid_probe::Lever;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Rates are means over the last second.
pub(crate) const RATE_OVER: Duration = Duration::from_secs(1);

/// A stage, as the control link knows it.
#[derive(Debug, Clone)]
pub(crate) struct StageView {
    pub(crate) model: String,
    pub(crate) layers: [u32; 2],
    /// When the coordinator asked for it.
    pub(crate) since: Instant,
    /// Once it is loaded.
    pub(crate) loaded: Option<(u64, Arc<StageGauge>)>,
}

/// Shared by the resource controller, the control link and the local socket.
pub(crate) struct View {
    state: Mutex<State>,
    lent: watch::Sender<Option<Lent>>,
    changes: watch::Sender<u64>,
    record: Record,
    gpu: bool,
    /// Whether no new answers are taken, because the self-test waits for those under way.
    takes_none: AtomicBool,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) allowance: Allowance,
    pub(crate) settings: Arc<Settings>,
    /// The last sample of the machine; `None` before the first.
    pub(crate) sample: Option<Sample>,
    pub(crate) rates: Rate,
    pub(crate) finishing: bool,
    /// The grid that the machine is a member of.
    pub(crate) connection: Option<Connection>,
    /// What the coordinator says of the grid; kept while the link is down.
    pub(crate) about: Option<GridAbout>,
    /// The grid that the donor left a moment ago.
    pub(crate) left: Option<LeftGrid>,
    /// Why the coordinator ended the membership, if it did.
    pub(crate) revoked: Option<String>,
    /// The system's caps of the process, or why there are none.
    pub(crate) caps: Vec<Lever>,
    /// By epoch.
    pub(crate) stages: BTreeMap<u64, StageView>,
}

/// What the worker takes and does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rate {
    /// Of all cores, as the system counts it.
    pub(crate) cpu: f32,
    /// Of the GPU's time, by our own accounting.
    pub(crate) gpu: f32,
    /// Rows per second.
    pub(crate) tokens: f32,
}

impl State {
    /// Whether the coordinator is reached.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.connected)
    }
}

impl View {
    pub(crate) fn new(allowance: Allowance, settings: Settings, record: Record, gpu: bool) -> Self {
        let state = State {
            allowance,
            settings: Arc::new(settings),
            sample: None,
            rates: Rate::default(),
            finishing: false,
            connection: None,
            about: None,
            left: None,
            revoked: None,
            caps: Vec::new(),
            stages: BTreeMap::new(),
        };
        let (lent, changes) = (watch::Sender::new(None), watch::Sender::new(0));
        Self { state: Mutex::new(state), lent, changes, record, gpu, takes_none: AtomicBool::new(false) }
    }

    /// What the worker remembers.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// What is lent, and every change of it.
    pub(crate) fn lent(&self) -> watch::Receiver<Option<Lent>> {
        self.lent.subscribe()
    }

    /// Counts changes that panels show at once.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Whether the coordinator is told to give no new answers.
    pub(super) fn takes_none(&self) -> bool {
        self.takes_none.load(Ordering::Relaxed)
    }

    pub(super) fn take_none(&self, none: bool) {
        self.takes_none.store(none, Ordering::Relaxed);
    }

    /// Sessions on all stages.
    pub(crate) fn sessions(&self) -> u32 {
        let loaded = |stage: &StageView| stage.loaded.as_ref().map_or(0, |(_, g)| g.sessions.load(Ordering::Relaxed));
        self.lock().stages.values().map(loaded).sum()
    }

    pub(super) fn observe(&self, sample: Sample, rates: Rate) {
        let mut state = self.lock();
        (state.sample, state.rates) = (Some(sample), rates);
    }

    pub(super) fn decided(&self, allowance: Allowance, settings: &Settings, lent: Lent, finishing: bool) {
        let mut event = None;
        let changed = {
            let mut state = self.lock();
            let resettled = *state.settings != *settings;
            let changed = state.allowance != allowance || state.finishing != finishing || resettled;
            if state.allowance.reason != allowance.reason {
                tracing::info!(cpu = %allowance.cpu, gpu = %allowance.gpu, reason = %allowance.reason, "allowance");
            }
            if is_event(&state.allowance, &allowance) {
                event = Some(self.event(&allowance));
            }
            (state.allowance, state.finishing) = (allowance, finishing);
            if resettled {
                state.settings = Arc::new(settings.clone());
            }
            changed
        };
        self.lent.send_if_modified(|known| known.replace(lent) != Some(lent));
        if let Some(event) = event {
            self.record.happened(event);
        }
        if changed {
            self.changed();
        }
    }

    fn event(&self, allowance: &Allowance) -> EventKind {
        use gogrid_limits::State as Governed;
        EventKind::Allowance {
            state: match allowance.state() {
                Governed::Working => PanelState::Working,
                Governed::Throttled => PanelState::Throttled,
                Governed::Stopped => PanelState::Stopped,
                Governed::Paused => PanelState::Paused,
            },
            cpu: allowance.cpu.per_mille(),
            gpu: self.gpu.then(|| allowance.gpu.per_mille()),
            kind: allowance.reason.kind().to_owned(),
            reason: allowance.reason.to_string(),
        }
    }

    pub(super) fn set_caps(&self, caps: &[Lever]) {
        let mut state = self.lock();
        if state.caps != caps {
            state.caps = caps.to_vec();
        }
    }

    pub(crate) fn set_connection(&self, connection: Option<Connection>) {
        let mut state = self.lock();
        if state.connection == connection {
            return;
        }
        let connected =
            |connection: &Option<Connection>| connection.as_ref().is_some_and(|connection| connection.connected);
        let (before, now) = (connected(&state.connection), connected(&connection));
        if connection.is_some() {
            state.revoked = None;
        }
        let coordinator = |connection: &Option<Connection>| connection.as_ref().map(|known| known.coordinator.clone());
        if coordinator(&state.connection) != coordinator(&connection) {
            state.about = None;
        }
        state.connection = connection;
        drop(state);
        match (before, now) {
            (false, true) => self.happened(EventKind::Connected),
            (true, false) => self.happened(EventKind::Disconnected),
            _ => self.changed(),
        }
    }

    pub(crate) fn set_about(&self, about: Option<GridAbout>) {
        self.lock().about = about;
        self.changed();
    }

    pub(crate) fn set_left(&self, left: Option<&Left>) {
        let left = left.map(|left| LeftGrid { grid: left.member.grid.clone(), until_ms: left.until_ms() });
        let changed = std::mem::replace(&mut self.lock().left, left.clone()) != left;
        if changed {
            self.changed();
        }
    }

    /// Records an event, and tells the panels that follow.
    pub(crate) fn happened(&self, what: EventKind) {
        if let EventKind::Revoked { reason } = &what {
            self.lock().revoked = Some(reason.clone());
        }
        self.record.happened(what);
        self.changed();
    }

    pub(crate) fn set_stage(&self, epoch: u64, stage: Option<StageView>) {
        let event = match &stage {
            Some(StageView { model, layers, since, loaded: Some(_) }) => {
                let seconds = since.elapsed().as_secs_f64();
                Some(EventKind::Loaded { model: model.clone(), layers: *layers, seconds })
            }
            _ => None,
        };
        let before = match stage {
            Some(stage) => {
                self.lock().stages.insert(epoch, stage);
                None
            }
            None => self.lock().stages.remove(&epoch).filter(|stage| stage.loaded.is_some()),
        };
        let gone = before.map(|StageView { model, layers, .. }| EventKind::Unloaded { model, layers });
        if let Some(event) = event.or(gone) {
            self.record.happened(event);
        }
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a change of the allowance is one that people follow: not the figures in a reason, but another end of a pause.
fn is_event(before: &Allowance, now: &Allowance) -> bool {
    let seen = |allowance: &Allowance| (allowance.cpu, allowance.gpu, allowance.reason.kind());
    seen(before) != seen(now) || (matches!(now.reason, Reason::Paused { .. }) && before.reason != now.reason)
}

/// Rates from counts.
#[derive(Debug, Default)]
pub(super) struct Rates {
    counts: VecDeque<Count>,
    cpu: f32,
    gpu_seen: Option<(Instant, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    at: Instant,
    busy: Duration,
    tokens: u64,
}

impl Rates {
    /// The device's busy share since the call before.
    pub(super) fn gpu_since_last(&mut self, paced: &Paced) -> f32 {
        let (now, busy) = (Instant::now(), paced.stats().busy);
        let (then, before) = self.gpu_seen.replace((now, busy)).unwrap_or((now, busy));
        share(busy - before, now - then)
    }

    /// Takes in a sample.
    pub(super) fn observe(&mut self, sample: &Sample, paced: &Paced, tokens: u64) {
        self.cpu = sample.cpu.known().map_or(self.cpu, |load| load.own);
        let now = Instant::now();
        self.counts.push_back(Count { at: now, busy: paced.stats().busy, tokens });
        // One that is older than the window stays: its start.
        while self.counts.get(1).is_some_and(|count| now - count.at > RATE_OVER) {
            self.counts.pop_front();
        }
    }

    pub(super) fn now(&self) -> Rate {
        let (Some(first), Some(last)) = (self.counts.front(), self.counts.back()) else { return Rate::default() };
        let elapsed = last.at - first.at;
        let tokens = if elapsed.is_zero() { 0.0 } else { (last.tokens - first.tokens) as f32 / elapsed.as_secs_f32() };
        Rate { cpu: self.cpu, gpu: share(last.busy - first.busy, elapsed), tokens }
    }
}

fn share(busy: Duration, elapsed: Duration) -> f32 {
    if elapsed.is_zero() { 0.0 } else { (busy.as_secs_f32() / elapsed.as_secs_f32()).min(1.0) }
}
