//! Answers that later requests may go on from, for a while and in bounded memory. They belong to the key that asked; no
//! other sees them, and they are gone when the coordinator starts again.

use gogrid_model::ChatMessage;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long an answer is kept. A conversation that rested for longer sends its messages again.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// Bytes of all conversations that are kept. The oldest go first.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of one key's: nobody drives the others' out.
const MAX_BYTES_OF_KEY: usize = 16 << 20;
/// What a message takes besides its text, about, in bytes.
const OVERHEAD: usize = 128;

/// The conversations that are kept. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct StoredResponses(Arc<Mutex<Store>>);

#[derive(Debug, Default)]
struct Store {
    by_id: HashMap<String, Stored>,
    /// In the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
    bytes_of: HashMap<String, usize>,
}

#[derive(Debug)]
struct Stored {
    owner: String,
    messages: Vec<ChatMessage>,
    bytes: usize,
    until: Instant,
}

/// What is to be kept once the answer is complete.
#[derive(Debug)]
pub(super) struct Keep {
    stored: StoredResponses,
    owner: String,
    /// The conversation without instructions, up to the answer.
    messages: Vec<ChatMessage>,
}

impl Keep {
    pub(super) fn new(stored: StoredResponses, owner: &str, messages: Vec<ChatMessage>) -> Self {
        Self { stored, owner: owner.to_owned(), messages }
    }

    /// Keeps the conversation with this answer.
    pub(super) fn finish(mut self, id: &str, answer: ChatMessage) {
        self.messages.push(answer);
        self.stored.put(id, self.owner, self.messages);
    }
}

impl StoredResponses {
    /// The conversation up to an answer, and with it.
    pub(super) fn get(&self, id: &str, owner: &str) -> Option<Vec<ChatMessage>> {
        let mut store = self.lock();
        store.forget_old();
        store.by_id.get(id).filter(|stored| stored.owner == owner).map(|stored| stored.messages.clone())
    }

    fn put(&self, id: &str, owner: String, messages: Vec<ChatMessage>) {
        let fields = |message: &ChatMessage| serde_json::to_string(&message.fields).map_or(0, |json| json.len());
        let bytes = messages.iter().map(|message| message.content.len() + fields(message) + OVERHEAD).sum();
        let mut store = self.lock();
        store.forget_old();
        if bytes > MAX_BYTES_OF_KEY {
            return;
        }
        while store.bytes_of(&owner) + bytes > MAX_BYTES_OF_KEY {
            let oldest = store.order.iter().find(|id| store.by_id[*id].owner == owner).cloned();
            let Some(oldest) = oldest else { break };
            store.remove(&oldest);
        }
        while store.bytes + bytes > MAX_BYTES {
            let Some(oldest) = store.order.front().cloned() else { break };
            store.remove(&oldest);
        }
        store.bytes += bytes;
        *store.bytes_of.entry(owner.clone()).or_default() += bytes;
        store.order.push_back(id.to_owned());
        store.by_id.insert(id.to_owned(), Stored { owner, messages, bytes, until: Instant::now() + KEPT_FOR });
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn bytes_of(&self, owner: &str) -> usize {
        self.bytes_of.get(owner).copied().unwrap_or(0)
    }

    fn forget_old(&mut self) {
        let now = Instant::now();
        while let Some(oldest) = self.order.front().filter(|id| self.by_id[*id].until <= now).cloned() {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &str) {
        self.order.retain(|kept| kept != id);
        let Some(stored) = self.by_id.remove(id) else { return };
        self.bytes -= stored.bytes;
        if let Some(bytes) = self.bytes_of.get_mut(&stored.owner) {
            *bytes -= stored.bytes;
            if *bytes == 0 {
                self.bytes_of.remove(&stored.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: usize) -> Vec<ChatMessage> {
        vec![ChatMessage::new("user", "x".repeat(bytes))]
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_its_keys_own_and_goes_after_an_hour() {
        let stored = StoredResponses::default();
        stored.put("resp_1", "anna".into(), said(10));
        assert_eq!(stored.get("resp_1", "anna"), Some(said(10)));
        assert_eq!(stored.get("resp_1", "ben"), None);
        tokio::time::advance(KEPT_FOR).await;
        assert_eq!(stored.get("resp_1", "anna"), None);
        let store = stored.lock();
        assert_eq!((store.bytes, store.bytes_of.len()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_for_each_key_and_for_all() {
        let stored = StoredResponses::default();
        stored.put("ben", "ben".into(), said(10));
        for number in 0..5 {
            stored.put(&format!("anna{number}"), "anna".into(), said(MAX_BYTES_OF_KEY / 3));
        }
        let kept = |id: &str, owner: &str| stored.get(id, owner).is_some();
        let annas: Vec<bool> = (0..5).map(|number| kept(&format!("anna{number}"), "anna")).collect();
        assert_eq!(annas, [false, false, false, true, true], "her oldest went");
        assert!(kept("ben", "ben"), "his stayed");
        stored.put("large", "carl".into(), said(MAX_BYTES_OF_KEY));
        assert!(!kept("large", "carl"), "more than a key may have");
        for number in 0..8 {
            stored.put(&format!("c{number}"), format!("key{number}"), said(MAX_BYTES_OF_KEY - 1000));
        }
        let bytes = stored.lock().bytes;
        assert!(bytes <= MAX_BYTES && !kept("ben", "ben") && kept("c7", "key7"));
    }
}
