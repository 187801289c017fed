//! Weights of the coordinator, over links of their own beside the control link.

use super::FetchError;
use gogrid_link::{Link, LinkError, Protocol, Transport};
use gogrid_model::TensorEntry;
use gogrid_wire::{
    PeerAddr,
    weights::{Ask, Reply},
};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// A coordinator that sends nothing for this long is given up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Where weights are fetched from.
#[derive(Clone)]
pub(crate) struct WeightSource {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) coordinator: PeerAddr,
}

/// The open links of one fetch that are not in use.
pub(super) struct WeightLinks<'a> {
    source: &'a WeightSource,
    resting: Mutex<Vec<Link>>,
}

impl<'a> WeightLinks<'a> {
    pub(super) fn of(source: &'a WeightSource) -> Self {
        Self { source, resting: Mutex::default() }
    }

    /// Asks for a tensor's bytes after the first `from`.
    pub(super) async fn ask(&self, entry: &TensorEntry, from: u64) -> Result<Arriving<'_>, FetchError> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let link = match resting {
            Some(link) => link,
            None => self.source.transport.dial(&self.source.coordinator, Protocol::Weights).await?,
        };
        let mut arriving = Arriving { links: self, link, left: 0, name: entry.name.clone() };
        let ask = Ask { hash: *entry.hash.as_bytes(), from };
        arriving.link.sender.send(&ask, &[]).await.map_err(|source| arriving.broken(source))?;
        match arriving.receive().await? {
            (Reply::Tensor { bytes }, _) if bytes == entry.bytes.saturating_sub(from) => arriving.left = bytes,
            (Reply::Unknown, _) => return Err(FetchError::Unknown { name: arriving.name }),
            _ => return Err(FetchError::Mismatch { name: arriving.name }),
        }
        Ok(arriving)
    }
}

/// A tensor that is on its way.
pub(super) struct Arriving<'a> {
    links: &'a WeightLinks<'a>,
    link: Link,
    left: u64,
    name: String,
}

impl Arriving<'_> {
    /// The next bytes; `None` after the last ones.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.receive().await? {
            (Reply::Part, part) if !part.is_empty() && part.len() as u64 <= self.left => {
                self.left -= part.len() as u64;
                Ok(Some(part))
            }
            _ => Err(FetchError::Mismatch { name: self.name.clone() }),
        }
    }

    /// Leaves the link to the next tensor.
    pub(super) fn done(self) {
        self.links.resting.lock().unwrap_or_else(PoisonError::into_inner).push(self.link);
    }

    async fn receive(&mut self) -> Result<(Reply, Vec<u8>), FetchError> {
        let received = timeout(ANSWERS_WITHIN, self.link.receiver.recv::<Reply>()).await;
        let received = received.unwrap_or_else(|_| Err(LinkError::Closed(io::ErrorKind::TimedOut.into())));
        received.map(|received| (received.message, received.body)).map_err(|source| self.broken(source))
    }

    fn broken(&self, source: LinkError) -> FetchError {
        FetchError::Link { name: self.name.clone(), source }
    }
}
