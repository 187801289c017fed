//! The fleet's way to the registry. The core says what to record, and this does it.

use super::{
    event::Record,
    returning::{Restored, Stages},
};
use crate::registry::{Groups, Member, ModelRecord, RegistryError, RegistryHandle, Write, unix_now};
use gogrid_wire::{Epoch, PeerId};
use std::{collections::BTreeMap, time::Duration};

/// Where the registry keeps the pipelines that served.
const PIPELINES: &str = "pipelines";

/// A handle on the registry.
#[derive(Clone)]
pub(super) struct Store(RegistryHandle);

impl Store {
    pub(super) fn new(registry: RegistryHandle) -> Self {
        Self(registry)
    }

    pub(super) fn registry(&self) -> &RegistryHandle {
        &self.0
    }

    /// What the previous coordinator recorded.
    pub(super) async fn restore(&self) -> Result<Restored, RegistryError> {
        // Nothing depends on it: what an older or newer program wrote is planned anew.
        let parse = |text: String| serde_json::from_str::<BTreeMap<String, Vec<Stages>>>(&text).ok();
        let pipelines = self.0.metadata(PIPELINES).await?.and_then(parse).unwrap_or_default();
        let (now, reliability) = (unix_now(), self.0.reliability().await?);
        let ago = |at: u64| Duration::from_secs(now.saturating_sub(at));
        let reliability = reliability.into_iter().map(|(peer, seen, at)| (peer, seen, ago(at)));
        Ok(Restored { pipelines, reliability: reliability.collect() })
    }

    /// Hands a record to the registry's thread. A failure is logged: serving goes on without it.
    pub(super) fn record(&self, record: Record) {
        let write = match record {
            Record::Pipelines(pipelines) => {
                let value = serde_json::to_string(&pipelines).unwrap_or_default();
                Write::Metadata { key: PIPELINES, value }
            }
            Record::Reliability { peer, seen } => Write::Reliability { peer, seen, at: unix_now() },
        };
        if let Err(error) = self.0.submit(write) {
            tracing::error!(%error, "what the next coordinator is to know is not recorded");
        }
    }

    /// Takes a worker that resigned off the allow list.
    pub(super) async fn resigned(&self, peer: PeerId) {
        match self.0.leave(peer, unix_now()).await {
            Ok(()) => tracing::info!(peer = %peer.short(), "worker resigned"),
            Err(error) => tracing::error!(%error, "a worker that resigned is still a member"),
        }
    }

    /// Epochs that were never used before; fewer than `count` when the registry fails.
    pub(super) async fn reserve_epochs(&self, count: usize) -> Vec<Epoch> {
        let mut reserved = Vec::new();
        for _ in 0..count {
            match self.0.next_epoch().await {
                Ok(number) => reserved.push(Epoch::new(number, rand::random())),
                Err(error) => {
                    tracing::error!(%error, "no new epoch");
                    break;
                }
            }
        }
        reserved
    }

    pub(super) async fn models(&self) -> Result<(Vec<ModelRecord>, Groups), RegistryError> {
        self.0.models().await
    }

    pub(super) async fn members(&self) -> Result<Vec<Member>, RegistryError> {
        self.0.members().await
    }
}
