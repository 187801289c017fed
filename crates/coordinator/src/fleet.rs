//! The fleet: which workers are connected, and which pipelines they make up.
//!
//! ```text
//! accept, operator ─▶ Fleet (a handle) ─▶ task ──event, now──▶ core
//!                     workers, router ◀── task ◀───actions──── core
//!                            registry ◀──▶ task ◀──▶ plans and models, on threads of their own
//! ```
//! A model without a pipeline is planned whenever something changed that could give it one. Its pipeline is then built
//! in two steps: every stage loads (`Load` → `Loaded`), then all link up (`Start` → `Started`). When a machine or a
//! link of it is lost, the whole epoch ends and the model is planned anew. A model that is served gets further
//! pipelines on machines of their own ([`scale_out`]), which take over from one that is lost.

mod assign;
mod authority;
#[cfg(any(test, feature = "bench"))]
pub mod bench;
mod build;
mod core;
mod deadlines;
#[cfg(any(test, feature = "bench"))]
mod driver;
mod event;
mod health;
mod improve;
mod models;
mod plan;
mod quarantine;
mod reliability;
mod reload;
mod report;
mod request;
mod returning;
mod ring;
mod scale_out;
mod spares;
mod state;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod timing;
mod workers;

pub(crate) use event::{Activity, Event};
pub(crate) use models::ModelId;
pub(crate) use ring::RingEnd;
pub(crate) use task::FleetTask;
pub(crate) use timing::Timing;

use crate::{planner::Device, registry::RegistryHandle, status::Status};
use gogrid_wire::{
    Epoch, PeerId,
    control::{Hello, ToWorker},
    hello::Capabilities,
    stage,
};
use std::sync::Arc;
use store::Store;
use task::Request;
use tokio::sync::{mpsc, oneshot};

/// A message for a worker.
#[derive(Debug)]
pub(crate) struct ToPeer {
    pub(crate) message: ToWorker,
    pub(crate) body: Vec<u8>,
}

/// A worker that was let in.
pub(crate) struct Connected {
    pub(crate) id: PeerId,
    pub(crate) hello: Hello,
    pub(crate) capabilities: Capabilities,
    pub(crate) device: Arc<Device>,
    pub(crate) to_worker: mpsc::Sender<ToPeer>,
}

/// A handle on the fleet's task.
#[derive(Clone)]
pub(crate) struct Fleet {
    requests: mpsc::Sender<Request>,
    store: Store,
}

impl Fleet {
    pub(crate) fn registry(&self) -> &RegistryHandle {
        self.store.registry()
    }

    /// Hands in an event. Cancel-safe.
    pub(crate) async fn tell(&self, event: Event) {
        self.send(Request::Event(event)).await;
    }

    /// A worker was let in; returns the number of this connection. `None` when the worker cannot be used, and at
    /// shutdown.
    pub(crate) async fn connected(&self, worker: Connected) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Connected { worker: Box::new(worker), reply }).await;
        answer.await.ok()
    }

    /// A worker wants to be the neighbour of the coordinator in an epoch's ring.
    pub(crate) async fn attach(
        &self,
        peer: PeerId,
        epoch: Epoch,
        role: stage::Role,
    ) -> Result<RingEnd, stage::Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Attach { peer, epoch, role, reply }).await;
        answer.await.unwrap_or(Err(stage::Refusal::UnknownEpoch(epoch)))
    }

    /// What there is; `None` at shutdown.
    pub(crate) async fn status(&self) -> Option<Status> {
        let members = self.store.members().await.unwrap_or_default();
        let (reply, answer) = oneshot::channel();
        self.send(Request::Status { members, reply }).await;
        answer.await.ok()
    }

    async fn send(&self, request: Request) {
        drop(self.requests.send(request).await);
    }
}
