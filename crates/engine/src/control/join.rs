use crate::resources::lent;
use gogrid_limits::Ledger;
use gogrid_link::{DialError, Link, LinkError, Protocol, Transport};
use gogrid_model::{DeviceSpec, Needs, Quant};
use gogrid_wire::{
    InviteToken, PeerAddr, VERSION,
    control::{Hello, Refusal, ToCoordinator, ToWorker, Welcome},
    hello::{Capabilities, feature},
};
use std::time::Duration;

/// The coordinator answers the first message within this time.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// Why the worker is not connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the link to the coordinator broke")]
    Link(#[from] LinkError),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the coordinator did not answer in time")]
    Timeout,
    #[error("the coordinator's first message was not understood")]
    Unexpected,
}

impl ControlError {
    /// Half a sentence for the donor, about the coordinator. Keys, addresses and the transport's words are for the log.
    pub(crate) fn for_people(&self) -> String {
        match self {
            Self::Dial(_) | Self::Timeout => "it does not answer".into(),
            Self::Link(_) => "the connection broke".into(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Unexpected => "its answer is not understood".into(),
        }
    }
}

/// What the worker says of itself.
#[derive(Clone)]
pub(crate) struct Introduction {
    pub(crate) name: String,
    pub(crate) device: String,
    /// What it lends now.
    pub(crate) ledger: Ledger,
}

/// A coordinator has let the machine in.
pub(crate) struct Joined {
    pub(super) link: Link,
    welcome: Welcome,
}

impl Joined {
    /// The grid's name.
    pub(crate) fn grid(&self) -> &str {
        &self.welcome.grid
    }
}

/// Dials the coordinator and is let in, or not.
pub(crate) async fn join(
    transport: &dyn Transport,
    coordinator: &PeerAddr,
    introduction: &Introduction,
    token: Option<InviteToken>,
) -> Result<Joined, ControlError> {
    let mut link = transport.dial(coordinator, Protocol::Control).await?;
    let Introduction { name, device, ledger } = introduction.clone();
    let capabilities = capabilities(&device);
    let memory = lent(&ledger.usage());
    let hello = Hello { version: VERSION, token, name, device, memory, addrs: transport.addrs().await };
    link.sender.send(&ToCoordinator::Hello(hello), &capabilities.to_body()).await?;
    let answer = tokio::time::timeout(WELCOME_WITHIN, link.receiver.recv::<ToWorker>()).await;
    match answer.map_err(|_| ControlError::Timeout)??.message {
        ToWorker::Welcome(welcome) => Ok(Joined { link, welcome }),
        ToWorker::Refused(refusal) => Err(refusal.into()),
        _ => Err(ControlError::Unexpected),
    }
}

/// What this program can do on its device.
fn capabilities(device: &str) -> Capabilities {
    let footprint = device.parse().ok().map(|device: DeviceSpec| gogrid_compute::footprint(device.kind()));
    Capabilities {
        footprint: footprint.and_then(|footprint| serde_json::to_value(footprint).ok()),
        program: env!("CARGO_PKG_VERSION").into(),
        devices: vec![device.into()],
        backend: "candle".into(),
        weight_types: Quant::ALL.map(|quant| quant.to_string()).into(),
        features: feature::ALL.map(String::from).into(),
        models: Needs::known().names(),
    }
}
