//! Two machines with one key, as after a data folder was copied: each newer connection ends the older one. After a few
//! times within a minute the newcomers are refused, so that one of them serves in peace and the other is told why.

use gogrid_wire::{PeerId, control::Refusal};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A machine whose link broke unnoticed displaces its own older connection; it hardly does so more often than this.
const MOST: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// The connections of each machine that is connected, or was displaced lately.
#[derive(Clone, Default)]
pub(super) struct Twins(Arc<Mutex<HashMap<PeerId, Connections>>>);

#[derive(Default)]
struct Connections {
    open: usize,
    /// When newer connections ended older ones.
    displaced: Vec<Instant>,
}

/// A connection, until it is dropped.
pub(super) struct Connection {
    twins: Twins,
    peer: PeerId,
}

impl Twins {
    /// Takes a connection in.
    ///
    /// # Errors
    /// Another one is open, and such were ended too often.
    pub(super) fn connect(&self, peer: PeerId, now: Instant) -> Result<Connection, Refusal> {
        let mut all = self.lock();
        all.retain(|_, connections| {
            connections.displaced.retain(|at| now < *at + WITHIN);
            connections.open > 0 || !connections.displaced.is_empty()
        });
        let connections = all.entry(peer).or_default();
        if connections.open > 0 {
            if connections.displaced.len() >= MOST {
                return Err(Refusal::Unavailable(
                    "another machine is connected with the same key, as a copy of this one's data would be: let one of them leave and join anew".into(),
                ));
            }
            connections.displaced.push(now);
        }
        connections.open += 1;
        Ok(Connection { twins: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Connections>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(connections) = self.twins.lock().get_mut(&self.peer) {
            connections.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId([1; 32]);

    #[test]
    fn a_machine_may_come_back_and_two_of_one_key_do_not_go_on_for_ever() {
        let (twins, mut now) = (Twins::default(), Instant::now());
        // A machine that comes and goes displaces nobody.
        for _ in 0..100 {
            twins.connect(PEER, now).expect("let in");
        }
        let mut open = vec![twins.connect(PEER, now).expect("let in")];
        for _ in 0..MOST {
            open.push(twins.connect(PEER, now).expect("its link may have broken"));
        }
        assert!(twins.connect(PEER, now).is_err());
        assert!(twins.connect(PeerId([2; 32]), now).is_ok());
        now += WITHIN;
        assert!(twins.connect(PEER, now).is_ok(), "a minute later");
        open.clear();
        assert!(twins.connect(PEER, now).is_ok());
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (twins, now) = (Twins::default(), Instant::now());
        drop(twins.connect(PEER, now).expect("let in"));
        let _other = twins.connect(PeerId([2; 32]), now).expect("let in");
        assert_eq!(twins.lock().len(), 1);
    }
}
