//! A ring's two ends at the coordinator.

use crate::pipeline::{FirstStageFrame, Pipeline};
use gogrid_link::Link;
use gogrid_wire::stage::Role;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A pipeline, and the queue towards its first stage until the link to that is there.
pub(super) struct OpenPipeline {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) frames: Option<mpsc::Receiver<FirstStageFrame>>,
}

impl OpenPipeline {
    /// The end that a worker takes which has this role. The first stage's can be taken once.
    pub(super) fn take_end(&mut self, role: Role) -> Option<RingEnd> {
        match role {
            Role::Receiver => Some(RingEnd::First(self.pipeline.clone(), self.frames.take()?)),
            Role::Sender => Some(RingEnd::Last(self.pipeline.clone())),
        }
    }
}

/// One of the two ends of a ring at the coordinator.
pub(crate) enum RingEnd {
    /// Feeds the first stage.
    First(Arc<Pipeline>, mpsc::Receiver<FirstStageFrame>),
    /// Collects from the last stage.
    Last(Arc<Pipeline>),
}

impl RingEnd {
    /// Serves the link for as long as it and the epoch last; returns why it ended.
    pub(crate) async fn serve(self, link: Link) -> String {
        match self {
            Self::First(pipeline, mut frames) => match pipeline.feed(link.sender, &mut frames).await {
                Ok(()) => "the epoch is over".into(),
                Err(error) => format!("the link to the first stage: {error}"),
            },
            Self::Last(pipeline) => {
                // The sender is kept, since dropping it would end the stream.
                let Link { receiver, sender: _sender, .. } = link;
                tokio::select! {
                    biased;
                    error = pipeline.collect(receiver) => format!("the link from the last stage: {error}"),
                    () = pipeline.lost.cancelled() => "the epoch is over".into(),
                }
            }
        }
    }
}
