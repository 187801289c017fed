//! The control protocol's first message, in every version that a worker may speak.
//!
//! Its header never changes, so that a coordinator of any version reads it and can refuse a worker in words that the
//! worker reads. What versions after 5 add travels in the frame's body: [`Capabilities`], as JSON.

use crate::{
    VERSION,
    control::{Hello, Refusal},
    frame, speaks,
};
use serde::{Deserialize, Serialize};

/// The largest capabilities that are read, in bytes: a hundred times what a machine with eight devices sends.
const MAX_CAPABILITIES: usize = 64 << 10;

/// What a worker's machine and program can do.
///
/// It travels as JSON, so that it can grow without a new protocol version: a reader ignores keys that it does not know,
/// and takes the default for those that are missing. An empty body has all of them missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// The program's version, for people.
    pub program: String,
    /// Devices that may compute, as `--device` spells them.
    pub devices: Vec<String>,
    /// What computes on them.
    pub backend: String,
    /// Weight types that the program loads, as `--quant` spells them.
    pub weight_types: Vec<String>,
    /// Optional parts of the protocol that the program knows, by name; see [`feature`].
    pub features: Vec<String>,
    /// What of models the program reads, by name: architectures, types of stored weights, ways in which tensors lie (a
    /// `gogrid_model::Needs`). Empty: it does not say.
    pub models: Vec<String>,
    /// What a stage takes in memory on the first device: a `gogrid_model::Footprint`. Without one that the coordinator
    /// understands, it expects what is usual for the kind of device.
    pub footprint: Option<serde_json::Value>,
}

/// Names of the protocol's optional parts. A name never changes its meaning.
pub mod feature {
    /// A stage keeps its sessions' KV caches after an epoch and reuses them in a later one
    /// ([`KvReuse`](crate::stage::KvReuse)).
    pub const KV_REUSE: &str = "kv-reuse";
    /// Activations in bf16 are understood.
    pub const BF16: &str = "bf16";

    /// [`ToWorker::About`](crate::control::ToWorker::About) is understood.
    pub const ABOUT: &str = "about";

    /// [`StageFrame::Retain`](crate::stage::StageFrame::Retain) is understood.
    pub const PREFIX_CACHE: &str = "prefix-cache";

    /// A stage takes [`ConstrainedStep`](crate::stage::ConstrainedStep), and leaves out of its candidates what is not
    /// allowed.
    pub const CONSTRAINTS: &str = "constraints";

    /// The machine fetches weights over [links of their own](crate::weights), and needs no token for the older server.
    pub const WEIGHTS: &str = "weights";

    /// Every part that this program knows.
    pub const ALL: [&str; 6] = [KV_REUSE, BF16, ABOUT, PREFIX_CACHE, CONSTRAINTS, WEIGHTS];
}

impl Capabilities {
    /// The body of a `Hello`.
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the worker knows an optional part of the protocol.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    fn from_body(body: &[u8]) -> Result<Self, Refusal> {
        let unreadable = |why: String| Refusal::Malformed(format!("its capabilities cannot be read: {why}"));
        if body.is_empty() {
            return Ok(Self::default());
        }
        if body.len() > MAX_CAPABILITIES {
            return Err(unreadable(format!("they have {} bytes, at most {MAX_CAPABILITIES} are allowed", body.len())));
        }
        serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))
    }
}

/// The fields of the first message that every version has, whatever follows them.
#[derive(Deserialize)]
enum First {
    Hello { version: u16 },
}

/// Reads a control link's first frame.
///
/// # Errors
/// The refusal to answer with: the frame is no `Hello`, or of a version that this program does not speak.
pub fn read(header: &[u8], body: &[u8]) -> Result<(Hello, Capabilities), Refusal> {
    let malformed = |what: &str| Refusal::Malformed(what.to_owned());
    let (First::Hello { version }, _) =
        postcard::take_from_bytes(header).map_err(|_| malformed("it is no Hello, or no message at all"))?;
    if !speaks(version) {
        return Err(Refusal::Version { worker: version, coordinator: VERSION });
    }
    let Layout::Hello(hello) = frame::header(header).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let capabilities =
        if version == 5 { crate::version5::capabilities(&hello) } else { Capabilities::from_body(body)? };
    Ok((hello, capabilities))
}

/// [`ToCoordinator`](crate::control::ToCoordinator) as far as a first message may go: its first variant in every version.
#[derive(Deserialize)]
enum Layout {
    Hello(Hello),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InviteToken, control::ToCoordinator};

    fn hello(version: u16) -> Hello {
        Hello {
            version,
            token: Some(InviteToken([7; 16])),
            name: "anna".into(),
            device: "cuda:0".into(),
            memory: 8 << 30,
            addrs: Vec::new(),
        }
    }

    fn header(version: u16) -> Vec<u8> {
        postcard::to_stdvec(&ToCoordinator::Hello(hello(version))).expect("encoded")
    }

    fn capabilities() -> Capabilities {
        let text = |text: &str| text.to_owned();
        Capabilities {
            program: text("0.2.0"),
            devices: vec![text("cuda:0"), text("cpu")],
            backend: text("candle"),
            weight_types: vec![text("q8_0")],
            features: vec![text(feature::BF16)],
            models: vec![text("llama")],
            footprint: Some(serde_json::json!({"device": "cuda"})),
        }
    }

    #[test]
    fn capabilities_travel_in_the_body() {
        let read = read(&header(VERSION), &capabilities().to_body());
        assert_eq!(read, Ok((hello(VERSION), capabilities())));
        assert!(capabilities().has(feature::BF16) && !capabilities().has(feature::KV_REUSE));
    }

    #[test]
    fn capabilities_may_grow() {
        let (_, known) = read(&header(VERSION), br#"{"program": "9.9", "teleports": true}"#).expect("readable");
        assert_eq!(known, Capabilities { program: "9.9".into(), ..Capabilities::default() });
        assert_eq!(read(&header(VERSION), &[]), Ok((hello(VERSION), Capabilities::default())));
    }

    #[test]
    fn a_version_that_is_not_spoken_is_refused_with_both_numbers_whatever_follows_it() {
        for version in [0, 4, VERSION + 1, u16::MAX] {
            let refusal = Err(Refusal::Version { worker: version, coordinator: VERSION });
            assert_eq!(read(&header(version), &[]), refusal);
            // A later version may have a header of another layout.
            let mut other = postcard::to_stdvec(&(0_u8, version)).expect("encoded");
            other.extend([0xFF; 9]);
            assert_eq!(read(&other, &[]), refusal);
        }
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        let beat = postcard::to_stdvec(&ToCoordinator::Draining).expect("encoded");
        let mut longer = header(VERSION);
        longer.push(0);
        let good = capabilities().to_body();
        let huge = vec![b' '; MAX_CAPABILITIES + 1];
        for (header, body) in [
            (&beat, &good),
            (&Vec::new(), &good),
            (&longer, &good),
            (&header(VERSION), &b"not json".to_vec()),
            (&header(VERSION), &huge),
        ] {
            assert!(matches!(read(header, body), Err(Refusal::Malformed(_))), "{header:?}");
        }
    }
}
