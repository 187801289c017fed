//! What the workers are told of the grid: what its operator wrote, and how much it answered today.

use crate::{
    answers::Answers,
    registry::{RegistryError, RegistryHandle, Write},
    settings::{About, Settings},
};
use gogrid_wire::about::{ApiAddress, GridInfo};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Where the registry keeps the count.
const ANSWERS: &str = "answers";
/// How often the count goes out if it has changed: a page that shows whole numbers needs no more, and a thousand machines
/// get 30 messages a second.
const EVERY: Duration = Duration::from_secs(30);

/// The body of the message, for every control link.
pub(crate) type Body = Arc<Vec<u8>>;

/// Publishes what members are told.
pub(crate) struct Publisher {
    info: GridInfo,
    answers: Answers,
    registry: RegistryHandle,
    bodies: watch::Sender<Body>,
}

impl Publisher {
    /// Goes on with the count of the coordinator before. `api` is what the API listens on.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub(crate) async fn new(
        settings: &Settings,
        api: SocketAddr,
        answers: Answers,
        registry: RegistryHandle,
    ) -> Result<Self, RegistryError> {
        if let Some(text) = registry.metadata(ANSWERS).await? {
            answers.restore(&text);
        }
        let About { owner, contact, purpose, models } = settings.about.clone();
        let api = Some(api_address(settings.api_url.clone(), api));
        let info = GridInfo { owner, contact, purpose, models, answers_today: answers.today(), api };
        let bodies = watch::Sender::new(Arc::new(info.to_body()));
        Ok(Self { info, answers, registry, bodies })
    }

    /// What every control link follows.
    pub(crate) fn bodies(&self) -> watch::Receiver<Body> {
        self.bodies.subscribe()
    }

    /// Publishes and records the count for as long as it is polled.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.update();
        }
    }

    fn update(&mut self) {
        let answers_today = self.answers.today();
        if answers_today == self.info.answers_today {
            return;
        }
        self.info.answers_today = answers_today;
        self.bodies.send_replace(Arc::new(self.info.to_body()));
        save(&self.answers, &self.registry);
    }
}

/// What workers are told of the API's address.
fn api_address(url: Option<String>, listens_on: SocketAddr) -> ApiAddress {
    let (ip, port) = (listens_on.ip(), listens_on.port());
    let local = url.is_none() && ip.is_loopback();
    let url = url.or_else(|| (!local && !ip.is_unspecified()).then(|| format!("http://{listens_on}")));
    ApiAddress { url, port, local }
}

/// Records the count for the next coordinator.
pub(crate) fn save(answers: &Answers, registry: &RegistryHandle) {
    if let Err(error) = registry.submit(Write::Metadata { key: ANSWERS, value: answers.write() }) {
        tracing::warn!(%error, "the count of today's answers is not recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_operators_or_the_one_that_is_listened_on() {
        let address = |url: Option<&str>, on: &str| {
            let ApiAddress { url, port, local } = api_address(url.map(str::to_owned), on.parse().expect("an address"));
            (url, port, local)
        };
        let url = "https://llm.example.org";
        assert_eq!(address(Some(url), "127.0.0.1:8080"), (Some(url.into()), 8080, false), "a proxy is in front of it");
        assert_eq!(address(None, "127.0.0.1:8080"), (None, 8080, true));
        assert_eq!(address(None, "0.0.0.0:8080"), (None, 8080, false));
        assert_eq!(address(None, "192.0.2.1:80"), (Some("http://192.0.2.1:80".into()), 80, false));
    }
}
