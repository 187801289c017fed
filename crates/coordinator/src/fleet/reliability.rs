use crate::planner::Reliability;
use gogrid_wire::PeerId;
use std::collections::HashMap;
use tokio::time::Instant;

/// How reliable each machine was.
#[derive(Default)]
pub(super) struct ReliabilityRecords(HashMap<PeerId, ReliabilityRecord>);

struct ReliabilityRecord {
    seen: Reliability,
    /// Up to when that is told.
    until: Instant,
    here: bool,
}

impl ReliabilityRecord {
    /// Tells what happened up to now.
    fn at(&self, now: Instant) -> Reliability {
        let time = now.saturating_duration_since(self.until);
        if self.here { self.seen.served(time) } else { self.seen.passed(time) }
    }
}

impl ReliabilityRecords {
    /// What was seen of a machine before the coordinator's start.
    pub(super) fn known(&mut self, peer: PeerId, seen: Reliability, now: Instant) {
        self.0.insert(peer, ReliabilityRecord { seen, until: now, here: false });
    }

    /// What was seen of a machine up to now.
    pub(super) fn seen(&self, peer: PeerId, now: Instant) -> Reliability {
        self.0.get(&peer).map_or_else(Reliability::default, |record| record.at(now))
    }

    pub(super) fn came(&mut self, peer: PeerId, now: Instant) {
        self.change(peer, now, true, |seen| seen);
    }

    /// A machine that said so before is not lost.
    pub(super) fn went(&mut self, peer: PeerId, polite: bool, now: Instant) {
        self.change(peer, now, false, |seen| if polite { seen } else { seen.lost() });
    }

    /// A machine that is here and does what no working one does counts as if it had been lost.
    pub(super) fn misbehaved(&mut self, peer: PeerId, now: Instant) {
        self.change(peer, now, true, Reliability::lost);
    }

    fn change(&mut self, peer: PeerId, now: Instant, here: bool, happened: impl Fn(Reliability) -> Reliability) {
        let seen = self.seen(peer, now);
        self.0.insert(peer, ReliabilityRecord { seen: happened(seen), until: now, here });
    }

    /// The probability that the machine is still there in a minute, in twentieths: who joined a second earlier is not
    /// preferred for it.
    pub(super) fn of(&self, peer: PeerId, now: Instant) -> f64 {
        const STEPS: f64 = 20.0;
        (self.seen(peer, now).mean() * STEPS).round() / STEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_leaves_without_a_word_stands_lower_than_who_stays_or_says_so() {
        let (mut records, start) = (ReliabilityRecords::default(), Instant::now());
        let [stays, leaves, is_lost] = [1, 2, 3].map(|id| PeerId([id; 32]));
        for peer in [stays, leaves, is_lost] {
            records.came(peer, start);
        }
        let before = records.of(stays, start);
        let later = start + Duration::from_secs(3600);
        records.went(leaves, true, later);
        for _ in 0..4 {
            records.went(is_lost, false, later);
            records.came(is_lost, later);
        }
        // What was written down is as good as what was seen.
        let known = PeerId([4; 32]);
        records.known(known, records.seen(is_lost, later), later);
        assert_eq!(records.of(known, later), records.of(is_lost, later));
        let of = |peer| records.of(peer, later);
        assert!(of(stays) > before && of(stays) == of(leaves) && of(leaves) > of(is_lost));
    }
}
