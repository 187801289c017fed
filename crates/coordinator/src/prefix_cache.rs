//! Which complete answers a pipeline's stages still hold, so that a prompt that begins with the same tokens does not
//! compute them again: the next turn of a conversation, or another question after the same instructions. The caller owns
//! what an entry holds.
//!
//! The stages keep an answer's state until the coordinator closes its session, so the coordinator decides what stays. An
//! entry holds its part of the pipeline's KV capacity and gives it up as soon as a request needs it, the least recently
//! used first. Entries belong to the owner that asked: the time of an answer tells nobody what others have asked.

use crate::generate::Owner;
use gogrid_wire::SessionId;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Entries of one pipeline, at most: each holds a place in the queue of its first stage, and its tokens here.
pub(crate) const MAX_ENTRIES: usize = 128;
/// Shorter prefixes cost less to compute again than to reuse.
const MIN_TOKENS: usize = 16;
/// Entries that were not used for this long are closed: machines hold no memory for conversations that are over.
const UNUSED_FOR: Duration = Duration::from_secs(600);

/// Whose requests may reuse an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CacheScope {
    /// Who asked.
    pub(crate) owner: Owner,
    /// The request's `cache_salt`: it sets requests of one owner apart.
    pub(crate) salt: Option<Arc<str>>,
}

/// A sequence whose prefix is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) scope: &'a CacheScope,
    pub(crate) tokens: &'a [u32],
}

/// A prefix of a sequence, found on the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrefixHit {
    /// The session of the complete answer.
    pub(crate) session: SessionId,
    /// Tokens that need not be computed.
    pub(crate) keep: usize,
    /// Whether these are all its tokens: the stages then hand its state over, and the entry is gone.
    pub(crate) whole: bool,
}

/// A pipeline's complete answers, least recently used first. `T` is what an entry holds.
#[derive(Debug)]
pub(crate) struct PrefixCache<T>(VecDeque<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    session: SessionId,
    scope: CacheScope,
    tokens: Vec<u32>,
    used: Instant,
    held: T,
}

/// How many tokens two sequences have in common at their start. Whole blocks are compared first: conversations may share
/// tens of thousands of tokens.
fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    const BLOCK: usize = 256;
    let whole = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK)).take_while(|(a, b)| a == b).count() * BLOCK;
    whole + a[whole..].iter().zip(&b[whole..]).take_while(|(a, b)| a == b).count()
}

impl<T> PrefixCache<T> {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// The entry that saves most. `shared` says how many of an answer's tokens, given its length and the number that is
    /// wanted at most, every stage can hand on.
    pub(crate) fn find(&self, lookup: Lookup<'_>, shared: impl Fn(usize, usize) -> usize) -> Option<PrefixHit> {
        // The last token is computed, as its candidates are wanted.
        let most = lookup.tokens.len().saturating_sub(1);
        let found = |entry: &Entry<T>| {
            let keep = shared(entry.tokens.len(), common_prefix(&entry.tokens, &lookup.tokens[..most]));
            PrefixHit { session: entry.session, keep, whole: keep == entry.tokens.len() }
        };
        let of_scope = self.0.iter().filter(|entry| entry.scope == *lookup.scope);
        of_scope.map(found).filter(|found| found.keep >= MIN_TOKENS).max_by_key(|found| found.keep)
    }

    /// Inserts an answer. Returns what is no longer held: by entries that are its prefixes, by the one that was evicted for
    /// it, or by the answer itself if it is a prefix of an entry.
    pub(crate) fn insert(&mut self, session: SessionId, scope: CacheScope, tokens: Vec<u32>, held: T) -> Vec<T> {
        let longer = self.0.iter().find(|entry| entry.scope == scope && entry.tokens.starts_with(&tokens));
        if let Some(longer) = longer.map(|entry| entry.session) {
            self.touch(longer);
            return vec![held];
        }
        let covered = |entry: &Entry<T>| entry.scope == scope && tokens.starts_with(&entry.tokens);
        let (covered, kept) = std::mem::take(&mut self.0).into_iter().partition(covered);
        let covered: VecDeque<Entry<T>> = covered;
        self.0 = kept;
        let mut over: Vec<T> = covered.into_iter().map(|entry| entry.held).collect();
        if self.0.len() >= MAX_ENTRIES {
            over.extend(self.evict_oldest(None));
        }
        self.0.push_back(Entry { session, scope, tokens, used: Instant::now(), held });
        over
    }

    /// Whether an answer of that many tokens is worth keeping.
    pub(crate) fn takes(tokens: usize) -> bool {
        tokens >= MIN_TOKENS
    }

    /// Marks an entry as just used.
    pub(crate) fn touch(&mut self, session: SessionId) {
        if let Some(at) = self.position(session)
            && let Some(mut entry) = self.0.remove(at)
        {
            entry.used = Instant::now();
            self.0.push_back(entry);
        }
    }

    /// Removes an entry.
    pub(crate) fn take(&mut self, session: SessionId) -> Option<T> {
        let at = self.position(session)?;
        self.0.remove(at).map(|entry| entry.held)
    }

    /// Removes the least recently used entry other than `except`.
    pub(crate) fn evict_oldest(&mut self, except: Option<SessionId>) -> Option<T> {
        let at = self.0.iter().position(|entry| Some(entry.session) != except)?;
        self.0.remove(at).map(|entry| entry.held)
    }

    /// Removes entries that were not used for long.
    pub(crate) fn expire(&mut self) {
        self.0.retain(|entry| entry.used.elapsed() < UNUSED_FOR);
    }

    /// What is held for the entries.
    pub(crate) fn held(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|entry| &entry.held)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn position(&self, session: SessionId) -> Option<usize> {
        self.0.iter().position(|entry| entry.session == session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_tokens_are_counted_to_the_first_that_differs() {
        let tokens: Vec<u32> = (0..1000).collect();
        for at in [0, 1, 255, 256, 257, 999] {
            let mut other = tokens.clone();
            other[at] = u32::MAX;
            assert_eq!(common_prefix(&tokens, &other), at);
            assert_eq!(common_prefix(&tokens, &tokens[..at]), at);
        }
    }

    fn scope(salt: Option<&str>) -> CacheScope {
        CacheScope { owner: Owner::Local, salt: salt.map(Arc::from) }
    }

    fn cache(answers: &[(u64, &[u32])]) -> PrefixCache<u64> {
        let mut cache = PrefixCache::new();
        for (session, tokens) in answers {
            cache.insert(SessionId(*session), scope(None), tokens.to_vec(), *session);
        }
        cache
    }

    fn find(cache: &PrefixCache<u64>, tokens: &[u32]) -> Option<(u64, usize, bool)> {
        let found = cache.find(Lookup { scope: &scope(None), tokens }, |length, most| most.min(length))?;
        Some((found.session.0, found.keep, found.whole))
    }

    fn tokens(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    #[test]
    fn the_longest_common_beginning_counts() {
        let (long, other) = (tokens(60), [&tokens(20)[..], &[7; 50]].concat());
        let cache = cache(&[(2, &long), (3, &other)]);
        assert_eq!(find(&cache, &tokens(100)), Some((2, 60, true)));
        assert_eq!(find(&cache, &tokens(61)), Some((2, 60, true)));
        assert_eq!(find(&cache, &tokens(60)), Some((2, 59, false)), "the last token is computed");
        assert_eq!(find(&cache, &[&tokens(20)[..], &[7; 10]].concat()), Some((3, 29, false)));
        assert_eq!(find(&cache, &tokens(10)), None, "too short to be worth it");
        assert_eq!(find(&cache, &[9; 100]), None);
        assert_eq!(find(&cache, &[]), None);
    }

    #[test]
    fn what_stages_cannot_hand_on_is_not_found() {
        let cache = cache(&[(1, &tokens(100))]);
        let (scope, wanted) = (scope(None), tokens(80));
        let lookup = Lookup { scope: &scope, tokens: &wanted };
        assert_eq!(cache.find(lookup, |_, most| most / 64 * 64).map(|found| found.keep), Some(64));
        assert_eq!(cache.find(lookup, |_, _| 0), None);
    }

    #[test]
    fn nobody_finds_what_others_asked() {
        let cache = cache(&[(1, &tokens(100))]);
        let tokens = tokens(101);
        let with =
            |scope: CacheScope| cache.find(Lookup { scope: &scope, tokens: &tokens }, |length, most| most.min(length));
        assert!(with(scope(None)).is_some());
        assert!(with(scope(Some("a"))).is_none());
        assert!(with(CacheScope { owner: Owner::Key("gg-1".into()), salt: None }).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_used_longest_ago_goes_first() {
        let mut cache = cache(&[(1, &[1; 30]), (2, &[2; 40]), (3, &[3; 50])]);
        cache.touch(SessionId(1));
        assert_eq!(cache.evict_oldest(Some(SessionId(2))), Some(3));
        assert_eq!((cache.take(SessionId(3)), cache.take(SessionId(2))), (None, Some(2)));
        tokio::time::advance(UNUSED_FOR / 2).await;
        cache.insert(SessionId(4), scope(None), tokens(30), 4);
        tokio::time::advance(UNUSED_FOR / 2).await;
        cache.expire();
        assert_eq!((cache.evict_oldest(None), cache.evict_oldest(None)), (Some(4), None));
    }

    #[test]
    fn entries_are_bounded() {
        let mut cache = cache(&[]);
        let evicted: Vec<u64> = (0..MAX_ENTRIES as u64 + 2)
            .flat_map(|session| cache.insert(SessionId(session), scope(None), vec![session as u32; 20], session))
            .collect();
        assert_eq!(evicted, [0, 1]);
    }

    #[test]
    fn an_answer_takes_the_place_of_those_that_it_goes_on_from() {
        let mut cache = cache(&[(1, &tokens(30)), (2, &[2; 40])]);
        assert_eq!(cache.insert(SessionId(3), scope(None), tokens(50), 3), [1]);
        assert_eq!(cache.insert(SessionId(4), scope(None), tokens(40), 4), [4], "an entry begins with it");
        assert!(cache.insert(SessionId(5), scope(Some("a")), tokens(60), 5).is_empty(), "of another scope");
        assert_eq!((cache.evict_oldest(None), cache.evict_oldest(None)), (Some(2), Some(3)));
    }
}
