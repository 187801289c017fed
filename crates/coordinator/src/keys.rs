//! Keys of consumers: who may use the API, for which models, and how much.
//!
//! A key is shown once, when it is made. The registry has its BLAKE3 hash and its prefix, by which people tell it from
//! others. While there is none, the API answers the coordinator's own machine alone; from the first on every request
//! needs one, also on that machine, and also after all were revoked.
//!
//! ```text
//! request ─▶ Keys::caller (key, or none needed) ─▶ Caller::begin (a request of this minute, tokens of this day)
//!         ─▶ Caller::streams (answers at once) ─▶ Caller::used (tokens, as they come) ─▶ every 2 s to the registry
//! ```

mod quota;
mod secret;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use quota::Standing;
pub use secret::Secret;

use crate::{
    audit::Audit,
    generate::{Owner, Requester},
    registry::{RegistryError, RegistryHandle, unix_now},
};
use jiff::{Zoned, civil::Date};
use quota::Quota;
use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How often what was used goes to the registry: a crash forgets at most this much of a quota.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// A key as the registry has it. Times are in seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The part that is shown.
    pub prefix: String,
    /// BLAKE3 of the whole key.
    pub hash: [u8; 32],
    /// What it is for, in its operator's words.
    pub note: String,
    /// Allowed models; empty means all.
    pub models: Vec<String>,
    /// When it was made.
    pub created: u64,
    /// From when on it is refused; `None` for never.
    pub expires: Option<u64>,
    /// Since when it is revoked.
    pub revoked: Option<u64>,
    /// How much it may use.
    pub limits: KeyLimits,
    /// Its share beside others' when requests wait, 1 at least.
    pub weight: u32,
}

/// How much a key may use. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers in a day of the coordinator's clock.
    pub tokens_per_day: Option<u64>,
    /// Answers at once.
    pub streams: Option<u32>,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests.
    pub requests: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Tokens of their answers.
    pub completion_tokens: u64,
}

/// What a key used on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayUsage {
    /// The key's prefix; empty for requests without a key.
    pub key: String,
    /// The day on the coordinator's clock, as in `2026-11-30`.
    pub day: String,
    /// What it used.
    pub used: Usage,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("no API key was given: send the header 'Authorization: Bearer KEY'")]
    Missing,
    #[error("the API key is not valid: it is unknown, expired or revoked")]
    Invalid,
    /// There is no key at all.
    #[error("only the coordinator's own machine may use this API until a key is made (`gogrid key create`)")]
    NoKeys,
    #[error("this key may send {limit} requests a minute; try again in {} s", seconds(*.again))]
    Requests { limit: u32, again: Duration },
    #[error("this key may use {limit} tokens a day; try again in {} s", seconds(*.again))]
    Tokens { limit: u64, again: Duration },
    #[error("this key may have {limit} answers at once, and this request asks for {asked} beside {open}")]
    Streams { limit: u32, asked: usize, open: usize },
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Usage {
    fn add(&mut self, other: Usage) {
        self.requests += other.requests;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// All keys. Clones share them.
#[derive(Clone)]
pub(crate) struct Keys {
    ring: Arc<Mutex<Ring>>,
    audit: Audit,
}

#[derive(Default)]
struct Ring {
    by_hash: HashMap<[u8; 32], Arc<Key>>,
    /// What was used since it was saved last, by key.
    unsaved: HashMap<String, Usage>,
}

/// A key in use.
struct Key {
    record: KeyRecord,
    owner: Arc<str>,
    quota: Arc<Mutex<Quota>>,
}

/// Who sent a request.
#[derive(Clone)]
pub(crate) struct Caller {
    keys: Keys,
    key: Option<Arc<Key>>,
    address: Option<IpAddr>,
}

/// Answers of a key that are under way, until it is dropped.
pub(crate) struct Streams {
    key: Arc<Key>,
    count: usize,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn today() -> Date {
    Zoned::now().date()
}

/// The time until the day ends on the coordinator's clock.
fn left_of_day() -> Duration {
    let now = Zoned::now();
    let end = now.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    end.ok().and_then(|end| end.duration_since(&now).try_into().ok()).unwrap_or(Duration::from_secs(3600))
}

impl Keys {
    /// None yet. Who is refused is written there.
    pub(crate) fn new(audit: Audit) -> Self {
        Self { ring: Arc::default(), audit }
    }

    /// Reads the keys from the registry, at the start and after a command has changed them. What they have used of
    /// their quotas stays.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub(crate) async fn load(&self, registry: &RegistryHandle) -> Result<(), RegistryError> {
        let day = today();
        let records = registry.keys(day.to_string()).await?;
        let mut ring = lock(&self.ring);
        let mut by_hash = HashMap::new();
        for (record, used) in records {
            let former = ring.by_hash.remove(&record.hash);
            // Shared with the requests under way.
            let quota = former.map_or_else(
                || Arc::new(Mutex::new(Quota::new(day, used.prompt_tokens + used.completion_tokens))),
                |former| former.quota.clone(),
            );
            let owner = record.prefix.as_str().into();
            by_hash.insert(record.hash, Arc::new(Key { record, owner, quota }));
        }
        ring.by_hash = by_hash;
        Ok(())
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.ring).by_hash.is_empty()
    }

    /// Who sends a request with this key, from this address.
    ///
    /// # Errors
    /// The key is missing or not valid.
    pub(crate) fn caller(&self, key: Option<&str>, address: Option<IpAddr>) -> Result<Caller, KeyError> {
        let found = self.find(key, address);
        if let Err(error) = &found {
            let from = address.map_or_else(|| "?".into(), |address| address.to_string());
            self.audit.refused("api_refused", "?", &from, error.to_string());
        }
        found
    }

    fn find(&self, key: Option<&str>, address: Option<IpAddr>) -> Result<Caller, KeyError> {
        let ring = lock(&self.ring);
        if ring.by_hash.is_empty() {
            let is_here = address.is_none_or(|address| address.to_canonical().is_loopback());
            let caller = Caller { keys: self.clone(), key: None, address };
            return if is_here { Ok(caller) } else { Err(KeyError::NoKeys) };
        }
        let key = key.ok_or(KeyError::Missing)?;
        let key = ring.by_hash.get(&secret::hash(key)).filter(|key| key.record.is_valid(unix_now()));
        Ok(Caller { keys: self.clone(), key: Some(key.ok_or(KeyError::Invalid)?.clone()), address })
    }

    /// Saves what is used for as long as it is polled.
    pub(crate) async fn save_usage(self, registry: RegistryHandle) {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            self.save(&registry).await;
        }
    }

    /// Saves what was used.
    pub(crate) async fn save(&self, registry: &RegistryHandle) {
        let used: Vec<(String, Usage)> = mem::take(&mut lock(&self.ring).unsaved).into_iter().collect();
        if used.is_empty() {
            return;
        }
        if let Err(error) = registry.add_usage(today().to_string(), used.clone()).await {
            tracing::error!(%error, "what keys have used cannot be saved; it is tried again");
            let mut ring = lock(&self.ring);
            used.into_iter().for_each(|(key, usage)| ring.unsaved.entry(key).or_default().add(usage));
        }
    }
}

impl KeyRecord {
    /// Whether it is neither revoked nor expired.
    pub fn is_valid(&self, now: u64) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

impl Caller {
    /// As the router shares places.
    pub(crate) fn requester(&self) -> Requester {
        match (&self.key, self.address) {
            (Some(key), _) => Requester { owner: Owner::Key(key.owner.clone()), weight: key.record.weight },
            (None, Some(address)) => Requester::address(address),
            (None, None) => Requester::local(),
        }
    }

    /// The key's prefix; empty without one.
    pub(crate) fn name(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.owner)
    }

    /// Whether it may use a model.
    pub(crate) fn may_use(&self, model: &str) -> bool {
        let models = self.key.as_ref().map_or(&[][..], |key| &key.record.models);
        models.is_empty() || models.iter().any(|allowed| allowed == model)
    }

    /// Counts one more request.
    ///
    /// # Errors
    /// There were as many as may be in this minute, or the day's tokens are used.
    pub(crate) fn begin(&self) -> Result<(), KeyError> {
        if let Some(key) = &self.key {
            let mut quota = lock(&key.quota);
            quota.turn(Instant::now(), today());
            quota.begin(&key.record.limits, left_of_day())?;
        }
        self.count(Usage { requests: 1, ..Usage::default() });
        Ok(())
    }

    /// What is left of the quotas; `None` without a key.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let key = self.key.as_ref()?;
        let mut quota = lock(&key.quota);
        quota.turn(Instant::now(), today());
        Some(quota.standing(&key.record.limits, left_of_day()))
    }

    /// Counts this many answers as under way until what is returned is dropped; `None` without a key.
    ///
    /// # Errors
    /// The key may not have that many.
    pub(crate) fn streams(&self, count: usize) -> Result<Option<Streams>, KeyError> {
        let Some(key) = &self.key else { return Ok(None) };
        lock(&key.quota).open_streams(&key.record.limits, count)?;
        Ok(Some(Streams { key: key.clone(), count }))
    }

    /// Counts tokens of a prompt and of an answer.
    pub(crate) fn used(&self, prompt_tokens: usize, completion_tokens: usize) {
        let (prompt_tokens, completion_tokens) = (prompt_tokens as u64, completion_tokens as u64);
        if let Some(key) = &self.key {
            let mut quota = lock(&key.quota);
            quota.turn(Instant::now(), today());
            quota.use_tokens(prompt_tokens + completion_tokens);
        }
        self.count(Usage { requests: 0, prompt_tokens, completion_tokens });
    }

    fn count(&self, used: Usage) {
        let mut ring = lock(&self.keys.ring);
        match ring.unsaved.get_mut(self.name()) {
            Some(unsaved) => unsaved.add(used),
            None => drop(ring.unsaved.insert(self.name().to_owned(), used)),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        lock(&self.key.quota).close_streams(self.count);
    }
}
