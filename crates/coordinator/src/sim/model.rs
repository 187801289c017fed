//! A simulated model: every layer keeps a hash of all that it has seen, and a token follows from the last layer's.
//! One token lost, repeated or out of order changes every token after it, however the layers are cut.

use gogrid_model::{Candidates, FloatType, SNAPSHOT_BLOCK, Sampler, SamplingParams, SequenceSizes};
use gogrid_wire::stage::Want;
use std::ops::Range;

/// The demo model's vocabulary, and its tokens without the special ones.
const VOCABULARY: usize = 2048;
const TOKENS: Range<u32> = 100..2000;
/// Bytes of one row between stages: a hash, as two numbers of 32 bits.
pub(super) const ROW: usize = 8;

/// A session's memory on one stage.
#[derive(Debug, Clone)]
pub(super) struct Kv {
    /// What it takes, and where it can be cut.
    sizes: SequenceSizes,
    /// The position from which on it has taken steps: a recurrence keeps no state before it, but that of a whole block.
    since: u32,
    first_layer: u32,
    layers: Vec<u64>,
    /// The layers after each row, and what went to the next stage.
    past: Vec<(Vec<u64>, u64)>,
    /// The first position that the next stage needs.
    pub(super) emit: u32,
    /// Positions seen.
    pub(super) length: u32,
    /// The most that it may see.
    pub(super) capacity: u32,
}

impl Kv {
    pub(super) fn new(sizes: SequenceSizes, layers: Range<u32>, capacity: u32) -> Self {
        Self {
            sizes,
            since: 0,
            first_layer: layers.start,
            layers: vec![0; layers.len()],
            past: Vec::new(),
            emit: 0,
            length: 0,
            capacity,
        }
    }

    /// Takes in one row and returns what goes to the next stage.
    pub(super) fn row(&mut self, mut hash: u64) -> u64 {
        self.length += 1;
        for (layer, kept) in (u64::from(self.first_layer)..).zip(&mut self.layers) {
            *kept = mix(*kept ^ hash.rotate_left(17) ^ layer);
            hash = *kept;
        }
        self.past.push((self.layers.clone(), hash));
        hash
    }

    /// Whether it can go on behind its first rows.
    pub(super) fn can_keep(&self, rows: u32) -> bool {
        let newest = self.sizes.newest_position(self.length as usize, rows as usize);
        let whole = (rows as usize).is_multiple_of(SNAPSHOT_BLOCK);
        rows <= self.length && newest == rows as usize && (rows >= self.since || whole || !self.sizes.is_recurrent())
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.sizes.bytes(self.capacity as usize)
    }

    /// Truncates to the first rows.
    pub(super) fn keep(&mut self, rows: u32) {
        self.since = rows;
        self.past.truncate(rows as usize);
        self.layers = self.past.last().map_or_else(|| vec![0; self.layers.len()], |(layers, _)| layers.clone());
        self.length = rows;
    }

    /// What went to the next stage from a position on.
    pub(super) fn outputs(&self, from: u32) -> Vec<u64> {
        self.past.iter().skip(from as usize).map(|(_, output)| *output).collect()
    }
}

/// Splitmix64's finalizer.
fn mix(hash: u64) -> u64 {
    let hash = (hash.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What the last stage sends for the next token.
pub(super) fn candidates(hash: u64, want: &Want) -> Candidates {
    let count = u64::from(TOKENS.end - TOKENS.start);
    // The steps are prime to the count, so that no token comes twice.
    let at = |rank: u32| TOKENS.start + ((hash % count + 7 * u64::from(rank)) % count) as u32;
    let mut ids: Vec<u32> = (0..want.top.max(1)).map(at).collect();
    let mut logits: Vec<f32> = (0..ids.len()).map(|rank| 10.0 - 0.05 * rank as f32).collect();
    let also: Vec<u32> = want.also.iter().copied().filter(|id| !ids.contains(id)).collect();
    logits.extend(also.iter().map(|_| -90.0));
    ids.extend(also);
    Candidates { ids, logits, log_sum_exp: 15.0 }
}

/// What an undisturbed run emits.
pub(super) fn expected(layers: u32, prompt: &[u32], sampling: &SamplingParams, count: usize) -> Vec<u32> {
    let mut kv = Kv::new(SequenceSizes::new([], FloatType::F32, 1), 0..layers, u32::MAX);
    let mut sampler = Sampler::new(sampling.clone(), VOCABULARY, prompt).expect("good parameters");
    let mut hash = prompt.iter().fold(0, |_, token| kv.row(u64::from(*token)));
    let mut tokens = Vec::with_capacity(count);
    while tokens.len() < count {
        let request = sampler.request(0, None);
        let candidates = candidates(hash, &Want { top: request.top as u32, also: request.also });
        let token = sampler.sample(&candidates, 0, None).expect("good candidates").token;
        sampler.accept(token);
        tokens.push(token);
        hash = kv.row(u64::from(token));
    }
    tokens
}
