//! The network between simulated machines. Bytes take their time from one end of a link to the other, a direction may
//! be cut, and a link breaks at both ends. All times come from the seed.

use super::pipe::{Pipe, Reader, Writer};
use futures::future::BoxFuture;
use gogrid_link::{DialError, Link, Protocol, Transport};
use gogrid_wire::{PeerAddr, PeerId};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// A link whose other end shows no sign of life breaks after this long, as over QUIC.
pub(super) const IDLE: Duration = Duration::from_secs(4);
/// A dial that nobody answers fails after this long.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// Links dialed but not yet accepted.
const PENDING: usize = 64;

/// A handle on the network.
#[derive(Clone)]
pub(super) struct Net(Arc<Mutex<Wires>>);

pub(super) struct Wires {
    pub(super) random: StdRng,
    /// Bytes that a direction of a link holds before its sender waits.
    pub(super) window: usize,
    pub(super) machines: BTreeMap<PeerId, mpsc::Sender<Link>>,
    pub(super) pipes: BTreeMap<usize, Pipe>,
    pub(super) made: usize,
    /// Directions in which nothing passes.
    pub(super) cut: BTreeSet<(PeerId, PeerId)>,
    /// Machines that read nothing.
    pub(super) still: BTreeSet<PeerId>,
    /// By how much a machine's links are slower than others.
    pub(super) slow: BTreeMap<PeerId, Duration>,
}

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        // A small one finds code that waits for a full link and should not.
        let window = 1 << random.random_range(7..17);
        Self(Arc::new(Mutex::new(Wires {
            random,
            window,
            machines: BTreeMap::new(),
            pipes: BTreeMap::new(),
            made: 0,
            cut: BTreeSet::new(),
            still: BTreeSet::new(),
            slow: BTreeMap::new(),
        })))
    }

    /// Joins a machine; replaces an earlier one with the same id.
    pub(super) fn join(&self, id: PeerId) -> Arc<dyn Transport> {
        let (links, accepted) = mpsc::channel(PENDING);
        self.lock().machines.insert(id, links);
        Arc::new(SimTransport { net: self.clone(), id, accepted: AsyncMutex::new(accepted) })
    }

    /// A machine is off. Its links are broken, or dark: the other ends notice after [`IDLE`].
    pub(super) fn off(&self, id: PeerId, dark: bool) {
        let mut wires = self.lock();
        wires.machines.remove(&id);
        for pipe in wires.pipes.values_mut().filter(|pipe| pipe.is_of(id)) {
            (pipe.dark, pipe.broken) = (true, pipe.broken || !dark);
            pipe.wake();
        }
    }

    /// Breaks the links that went dark, with every end that still holds one.
    pub(super) fn break_dark(&self) {
        self.break_where(|pipe| pipe.dark);
    }

    /// Breaks all links between these two.
    pub(super) fn break_between(&self, a: PeerId, b: PeerId) {
        self.break_where(|pipe| (pipe.from, pipe.to) == (a, b) || (pipe.from, pipe.to) == (b, a));
    }

    /// Breaks all links of a machine.
    pub(super) fn break_all(&self, id: PeerId) {
        self.break_where(|pipe| pipe.is_of(id));
    }

    fn break_where(&self, which: impl Fn(&Pipe) -> bool) {
        for pipe in self.lock().pipes.values_mut().filter(|pipe| which(pipe)) {
            pipe.broken = true;
            pipe.wake();
        }
    }

    /// Cuts a direction, or mends it.
    pub(super) fn cut(&self, from: PeerId, to: PeerId, cut: bool) {
        let mut wires = self.lock();
        if cut {
            wires.cut.insert((from, to));
        } else {
            wires.cut.remove(&(from, to));
            wires.pipes.values_mut().for_each(Pipe::wake);
        }
    }

    pub(super) fn is_cut(&self, a: PeerId, b: PeerId) -> bool {
        let wires = self.lock();
        wires.cut.contains(&(a, b)) || wires.cut.contains(&(b, a))
    }

    /// Holds back all that arrives at a machine, or delivers it.
    pub(super) fn stand_still(&self, id: PeerId, still: bool) {
        let mut wires = self.lock();
        if still {
            wires.still.insert(id);
        } else {
            wires.still.remove(&id);
            wires.pipes.values_mut().for_each(Pipe::wake);
        }
    }

    pub(super) fn slow(&self, id: PeerId, delay: Duration) {
        self.lock().slow.insert(id, delay);
    }

    /// Ends of links that a machine still holds: two of each link, to write and to read.
    pub(super) fn ends(&self, id: PeerId) -> usize {
        let wires = self.lock();
        let written = wires.pipes.values().filter(|pipe| pipe.from == id && !pipe.finished).count();
        written + wires.pipes.values().filter(|pipe| pipe.to == id && !pipe.unread).count()
    }

    fn connect(&self, from: PeerId, to: PeerId, protocol: Protocol) -> Option<Link> {
        let mut wires = self.lock();
        let accepting = wires.machines.get(&to).cloned()?;
        let mut pipe = |from, to| {
            wires.made += 1;
            let made = wires.made;
            let pipe = Pipe {
                from,
                to,
                chunks: VecDeque::new(),
                queued: 0,
                finished: false,
                unread: false,
                broken: false,
                dark: false,
                reader: None,
                writer: None,
            };
            wires.pipes.insert(made, pipe);
            made
        };
        let (there, back) = (pipe(from, to), pipe(to, from));
        drop(wires);
        let end = |peer, out, into| {
            let reader =
                Reader { net: self.clone(), pipe: into, arrival: Box::pin(tokio::time::sleep(Duration::ZERO)) };
            Link::in_memory(peer, protocol, Writer { net: self.clone(), pipe: out }, reader)
        };
        let here = end(to, there, back);
        accepting.try_send(end(from, back, there)).ok()?;
        Some(here)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SimTransport {
    net: Net,
    id: PeerId,
    accepted: AsyncMutex<mpsc::Receiver<Link>>,
}

impl Transport for SimTransport {
    fn id(&self) -> PeerId {
        self.id
    }

    fn addrs(&self) -> BoxFuture<'_, Vec<SocketAddr>> {
        Box::pin(async { Vec::new() })
    }

    fn dial<'a>(&'a self, peer: &'a PeerAddr, protocol: Protocol) -> BoxFuture<'a, Result<Link, DialError>> {
        Box::pin(async move {
            if !self.net.is_cut(self.id, peer.id)
                && let Some(link) = self.net.connect(self.id, peer.id, protocol)
            {
                return Ok(link);
            }
            tokio::time::sleep(DIAL_WITHIN).await;
            Err(DialError { peer: peer.id, addrs: Vec::new(), reason: "no answer".into() })
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Link>> {
        Box::pin(async { self.accepted.lock().await.recv().await })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.net.off(self.id, false) })
    }
}
