//! The fleet's way to the registry. The core says what to record, and this does it.

use super::{
    event::Record,
    returning::{Restored, Stages},
};
use crate::registry::{Member, ModelRecord, Registry, RegistryError, unix_now};
use gogrid_wire::Epoch;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Where the registry keeps the pipelines that served.
const PIPELINES: &str = "pipelines";

/// A handle on the registry.
#[derive(Clone)]
pub(super) struct Store(Arc<Mutex<Registry>>);

impl Store {
    pub(super) fn new(registry: Registry) -> Self {
        Self(Arc::new(Mutex::new(registry)))
    }

    pub(super) fn registry(&self) -> &Mutex<Registry> {
        &self.0
    }

    /// What the previous coordinator recorded.
    pub(super) async fn restore(&self) -> Result<Restored, RegistryError> {
        let registry = self.0.lock().await;
        // Nothing depends on it: what an older or newer program wrote is planned anew.
        let parse = |text: String| serde_json::from_str::<BTreeMap<String, Vec<Stages>>>(&text).ok();
        let pipelines = registry.fact(PIPELINES)?.and_then(parse).unwrap_or_default();
        let (now, reliability) = (unix_now(), registry.standings()?);
        let ago = |at: u64| Duration::from_secs(now.saturating_sub(at));
        let reliability = reliability.into_iter().map(|(peer, seen, at)| (peer, seen, ago(at)));
        Ok(Restored { pipelines, reliability: reliability.collect() })
    }

    /// Carries out a record. A failure is logged: serving goes on without it.
    pub(super) async fn record(&self, record: Record) {
        let registry = self.0.lock().await;
        let (what, result) = match record {
            Record::Pipelines(pipelines) => {
                let text = serde_json::to_string(&pipelines).unwrap_or_default();
                ("the pipelines that serve", registry.set_fact(PIPELINES, &text))
            }
            Record::Reliability { peer, seen } => {
                ("a machine's reliability", registry.put_standing(peer, seen, unix_now()))
            }
            Record::Resigned(peer) => {
                let removed = registry.remove(peer);
                if removed.is_ok() {
                    tracing::info!(peer = %peer.short(), "worker resigned");
                }
                ("that a worker resigned", removed)
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "the registry does not record {what}");
        }
    }

    /// Epochs that were never used before; fewer than `count` when the registry fails.
    pub(super) async fn reserve_epochs(&self, count: usize) -> Vec<Epoch> {
        let registry = self.0.lock().await;
        let reserved: Result<Vec<Epoch>, _> = (0..count).map(|_| registry.next_epoch()).collect();
        reserved.inspect_err(|error| tracing::error!(%error, "no new epoch")).unwrap_or_default()
    }

    pub(super) async fn models(&self) -> Result<Vec<ModelRecord>, RegistryError> {
        self.0.lock().await.models()
    }

    pub(super) async fn members(&self) -> Result<Vec<Member>, RegistryError> {
        self.0.lock().await.members()
    }
}
