//! What a sequence tells its client: text as it becomes certain, and the end.

use super::{Outcome, Sequence};
use crate::generate::{Completion, Event, FinishReason, TokenEvent};
use gogrid_model::{Sampled, Scanned};
use std::time::Duration;
use tokio::{
    sync::{mpsc, mpsc::error::SendTimeoutError},
    time::Instant,
};

impl Sequence {
    /// The text that was held back, at an end that no stop string makes.
    pub(super) fn held_back(&mut self) -> String {
        let last = self.stops.push(&self.detokenizer.finish());
        if last.stopped { last.emit } else { last.emit + &self.stops.finish() }
    }

    /// Appends the next token, and the events that follow from it.
    pub(super) fn accept(&mut self, sampled: Sampled) {
        self.served.add(1);
        self.count_token();
        self.sampler.accept(sampled.token);
        self.tokens.push(sampled.token);
        if let Some(reasoning) = &mut self.reasoning {
            reasoning.accept(&self.model.text.token_bytes(sampled.token));
        }
        if self.model.text.is_eos(sampled.token) && !self.ignore_eos {
            let mut text = self.stops.push(&self.detokenizer.finish()).emit;
            text.push_str(&self.stops.finish());
            return self.finish(FinishReason::Stop, text);
        }
        let scanned = self.scan(sampled.token);
        let event = TokenEvent { text: scanned.emit, token: sampled.token, logprob: sampled.logprob, top: sampled.top };
        self.unread.push_back(Event::Token(event));
        if scanned.stopped {
            self.finish(FinishReason::Stop, String::new());
        } else if self.tokens.len() >= self.end {
            let text = self.held_back();
            self.finish(FinishReason::Length, text);
        }
    }

    /// The text that becomes certain with a token.
    fn scan(&mut self, token: u32) -> Scanned {
        if self.model.text.special_text(token).is_none() {
            return self.stops.push(&self.detokenizer.push(token));
        }
        // Special tokens split the text: characters and stop strings do not span them.
        let mut scanned = self.stops.push(&self.detokenizer.finish());
        if !scanned.stopped {
            scanned.emit.push_str(&self.stops.finish());
        }
        scanned
    }

    fn count_token(&mut self) {
        let now = Instant::now();
        let after = now.saturating_duration_since(std::mem::replace(&mut self.last_token, now));
        match self.emitted() {
            0 => self.metrics.first_token(after),
            _ => self.metrics.next_token(after),
        }
    }

    pub(super) fn finish(&mut self, reason: FinishReason, text: String) {
        let stop = self.stops.found().map(str::to_owned);
        let (prompt_tokens, completion_tokens) = (self.prompt, self.emitted());
        let done = Completion { reason, text, stop, prompt_tokens, completion_tokens, cached_tokens: self.cached };
        self.unread.push_back(Event::Done(done));
        self.is_complete = true;
    }

    /// Hands the client what it has not taken yet; `Some` if the sequence does not go on here. Not cancel-safe.
    pub(super) async fn deliver(&mut self, events: &mpsc::Sender<Event>, within: Duration) -> Option<Outcome> {
        while let Some(event) = self.unread.pop_front() {
            match events.send_timeout(event, within).await {
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return Some(Outcome::Gone),
                Err(SendTimeoutError::Timeout(event)) => {
                    self.unread.push_front(event);
                    return Some(Outcome::Unread);
                }
            }
        }
        self.is_complete.then_some(Outcome::Finished)
    }

    /// Waits until the client has taken everything; `Some` if the sequence is over with it. Not cancel-safe.
    pub(crate) async fn wait_until_read(&mut self, events: &mpsc::Sender<Event>) -> Option<Outcome> {
        while let Some(event) = self.unread.pop_front() {
            if events.send(event).await.is_err() {
                return Some(Outcome::Gone);
            }
        }
        self.is_complete.then_some(Outcome::Finished)
    }
}
