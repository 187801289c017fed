//! Which complete answers a pipeline's stages still hold, so that a prompt that begins with the same tokens does not
//! compute them again: the next turn of a conversation, or another question behind the same instructions. Pure; what an
//! entry holds is the caller's.
//!
//! The stages keep an answer's state until the coordinator closes its session, so the coordinator decides what stays. An
//! entry holds its part of the pipeline's KV capacity and gives it up as soon as a request needs it, the one that was
//! used longest ago first. Entries are told apart by who asked: nobody learns from the time of an answer what others
//! have asked.

use crate::generate::Owner;
use gogrid_wire::SessionId;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Entries of one pipeline, at most: each holds a place in the queue of its first stage, and its tokens here.
pub(crate) const MAX_ENTRIES: usize = 128;
/// Fewer tokens are computed again sooner than they are looked for on every stage.
const MIN_TOKENS: usize = 16;
/// What nobody went on from for this long is closed: machines do not hold memory for conversations that are over.
const UNUSED_FOR: Duration = Duration::from_secs(600);

/// Who may go on from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// Who asked.
    pub(crate) owner: Owner,
    /// The request's `cache_salt`: it sets requests of one owner apart.
    pub(crate) salt: Option<Arc<str>>,
}

/// A sequence that looks for its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) tokens: &'a [u32],
}

/// The beginning of a sequence, found on the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The session of the complete answer.
    pub(crate) session: SessionId,
    /// Tokens that need not be computed.
    pub(crate) keep: usize,
    /// Whether these are all its tokens: the stages then hand its state over, and the entry is gone.
    pub(crate) whole: bool,
}

/// A pipeline's complete answers, the one that was used longest ago first. `T` is what is held for an entry.
#[derive(Debug)]
pub(crate) struct PrefixCache<T>(VecDeque<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    session: SessionId,
    scope: Scope,
    tokens: Vec<u32>,
    used: Instant,
    held: T,
}

impl<T> PrefixCache<T> {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// The entry that saves most. `shared` says how many of an answer's tokens, given its length and the number that is
    /// wanted at most, every stage can hand on.
    pub(crate) fn find(&self, lookup: Lookup<'_>, shared: impl Fn(usize, usize) -> usize) -> Option<Found> {
        // The last token is computed, as its candidates are wanted.
        let most = lookup.tokens.len().saturating_sub(1);
        let found = |entry: &Entry<T>| {
            let common = entry.tokens.iter().zip(&lookup.tokens[..most]).take_while(|(held, wanted)| held == wanted);
            let keep = shared(entry.tokens.len(), common.count());
            Found { session: entry.session, keep, whole: keep == entry.tokens.len() }
        };
        let of_scope = self.0.iter().filter(|entry| entry.scope == *lookup.scope);
        of_scope.map(found).filter(|found| found.keep >= MIN_TOKENS).max_by_key(|found| found.keep)
    }

    /// Takes an answer in; gives what is held no longer: for entries that it goes on from, for the one that made room, or
    /// for the answer itself if an entry begins with it.
    pub(crate) fn insert(&mut self, session: SessionId, scope: Scope, tokens: Vec<u32>, held: T) -> Vec<T> {
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

    /// Notes that a request went on from an entry.
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

    /// Removes the entry that was used longest ago, other than `except`.
    pub(crate) fn evict_oldest(&mut self, except: Option<SessionId>) -> Option<T> {
        let at = self.0.iter().position(|entry| Some(entry.session) != except)?;
        self.0.remove(at).map(|entry| entry.held)
    }

    /// Removes what has not been used for long.
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

    fn scope(salt: Option<&str>) -> Scope {
        Scope { owner: Owner::Local, salt: salt.map(Arc::from) }
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
            |scope: Scope| cache.find(Lookup { scope: &scope, tokens: &tokens }, |length, most| most.min(length));
        assert!(with(scope(None)).is_some());
        assert!(with(scope(Some("a"))).is_none());
        assert!(with(Scope { owner: Owner::Key("gg-1".into()), salt: None }).is_none());
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
