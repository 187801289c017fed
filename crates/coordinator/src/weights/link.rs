//! Weights over an authenticated link, for as long as the machine is a member.

use super::TensorIndex;
use gogrid_link::{FrameSender, Link, LinkError};
use gogrid_model::{Location, TensorHash};
use gogrid_wire::{
    PeerId,
    weights::{Ask, PART_BYTES, Reply},
};
use std::{
    collections::HashMap,
    io::{self, SeekFrom},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    time::timeout,
};

/// Links of one machine at once. A worker opens four for each load, and loads one stage after another.
const PER_MACHINE: usize = 8;
/// A link without a question is closed.
const ASKS_WITHIN: Duration = Duration::from_secs(20);
/// A machine takes 256 KiB within this time even if its owner lends it 10 kB/s.
const TAKES_WITHIN: Duration = Duration::from_secs(60);

/// The open links of each machine. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct WeightLinks(Arc<Mutex<HashMap<PeerId, usize>>>);

/// A place for a link, until it is dropped.
pub(crate) struct Place {
    links: WeightLinks,
    peer: PeerId,
}

impl WeightLinks {
    /// A place for one more link of a machine, if there is one.
    pub(crate) fn take(&self, peer: PeerId) -> Option<Place> {
        let mut all = self.lock();
        let open = all.entry(peer).or_default();
        (*open < PER_MACHINE).then(|| {
            *open += 1;
            Place { links: self.clone(), peer }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.links.lock();
        let Some(open) = all.get_mut(&self.peer) else { return };
        *open -= 1;
        if *open == 0 {
            all.remove(&self.peer);
        }
    }
}

/// Answers a member's questions until it asks none, takes nothing or breaks off.
pub(crate) async fn serve(link: Link, index: &TensorIndex) {
    let Link { mut sender, mut receiver, .. } = link;
    while let Ok(Ok(asked)) = timeout(ASKS_WITHIN, receiver.recv::<Ask>()).await {
        if answer(&mut sender, asked.message, index).await.is_err() {
            return;
        }
    }
}

async fn answer(sender: &mut FrameSender, Ask { hash, from }: Ask, index: &TensorIndex) -> Result<(), LinkError> {
    let found = index.get(&TensorHash::from_bytes(hash)).filter(|found| from <= found.bytes);
    let Some(location) = found else { return sender.send(&Reply::Unknown, &[]).await };
    match open(&location, from).await {
        Ok(file) => send(sender, file, location.bytes - from).await,
        Err(error) => {
            tracing::error!(path = %location.path.display(), %error, "a model's file cannot be read");
            sender.send(&Reply::Unknown, &[]).await
        }
    }
}

async fn open(location: &Location, from: u64) -> io::Result<File> {
    let mut file = File::open(&location.path).await?;
    file.set_max_buf_size(PART_BYTES);
    file.seek(SeekFrom::Start(location.offset + from)).await?;
    Ok(file)
}

async fn send(sender: &mut FrameSender, mut file: File, bytes: u64) -> Result<(), LinkError> {
    sender.send(&Reply::Tensor { bytes }, &[]).await?;
    let (mut part, mut left) = (vec![0; PART_BYTES], bytes);
    while left > 0 {
        let next = usize::try_from(left).unwrap_or(PART_BYTES).min(PART_BYTES);
        file.read_exact(&mut part[..next]).await?;
        let sent = timeout(TAKES_WITHIN, sender.send(&Reply::Part, &part[..next])).await;
        sent.map_err(|_| LinkError::Closed(io::ErrorKind::TimedOut.into()))??;
        left -= next as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_few_links_and_leaves_others_theirs() {
        let links = WeightLinks::default();
        let [greedy, other] = [1, 2].map(|number| PeerId([number; 32]));
        let held: Vec<_> = std::iter::from_fn(|| links.take(greedy)).collect();
        assert_eq!(held.len(), PER_MACHINE);
        assert!(links.take(other).is_some());
        drop(held);
        assert!(links.lock().is_empty(), "who has gone is forgotten");
    }
}
