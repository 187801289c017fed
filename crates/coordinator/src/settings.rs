mod about;

pub use about::About;

use gogrid_wire::{
    about::is_url,
    text::{LONGEST_GRID_NAME, is_grid_name},
};
use serde::Deserialize;
use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// The coordinator's settings: `DIR/coordinator.toml`, every key optional.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The grid's name, which donors see.
    pub name: String,
    /// Address of the API (TCP).
    pub listen: SocketAddr,
    /// The API's address as other machines reach it, such as that of a proxy: `https://llm.example.org`. Donors see it.
    /// Without it they see the address that is listened on.
    pub api_url: Option<String>,
    /// Address of the links to workers (UDP).
    pub link_listen: SocketAddr,
    /// Address of the weights' server (TCP); workers must reach it.
    pub weights_listen: SocketAddr,
    /// Address of the operator's API and figures (TCP), on the loopback address alone.
    pub operator_listen: SocketAddr,
    /// Requests that may wait; further ones are answered 429.
    pub queue_capacity: usize,
    /// Sequences that are generated at once, over all models.
    pub max_sessions: usize,
    /// The same for the requests of one address; of the coordinator's own machine there may be `max_sessions`.
    pub max_sessions_per_address: usize,
    /// A client that takes nothing for this long is closed, and its places are given to others. In seconds.
    pub client_stall_seconds: u64,
    /// Connections to the API at once.
    pub max_connections: usize,
    /// The same from one address; the coordinator's own machine may have `max_connections`.
    pub max_connections_per_address: usize,
    /// Names under which clients reach the API, besides addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://chat.example`) whose web pages may use the API.
    pub allowed_origins: Vec<String>,
    /// Certificate chain and private key of the API, PEM files; relative paths begin at the data folder. Without them the
    /// API is plain HTTP. They are read again when they change.
    pub tls_cert: Option<PathBuf>,
    /// See [`tls_cert`](Self::tls_cert).
    pub tls_key: Option<PathBuf>,
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether the remaining stages of a lost pipeline keep its sessions' KV caches for a minute, so that only the lost
    /// stages are computed again.
    pub keep_sessions: bool,
    /// What donors read of the grid.
    pub about: About,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "GoGrid".into(),
            // Only this machine, until the operator opens it.
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_url: None,
            link_listen: SocketAddr::from(([0, 0, 0, 0], 7450)),
            weights_listen: SocketAddr::from(([0, 0, 0, 0], 7451)),
            // A port of its own each time; the commands read it from operator.json.
            operator_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            // At a few seconds per answer, the last in the queue waits about a minute.
            queue_capacity: 256,
            // The largest batch of a stage.
            max_sessions: 64,
            // The others keep a quarter.
            max_sessions_per_address: 48,
            client_stall_seconds: 10,
            // A quarter for the others, and far below the usual limit of a process for descriptors.
            max_connections: 512,
            max_connections_per_address: 384,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls_cert: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            keep_sessions: true,
            about: About::default(),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has a mistake; the source names key and line.
    #[error("{path} has a mistake: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// The grid's name is empty, too long, or cannot be shown.
    #[error("name in {path} has {length} bytes, but must have 1 to {LONGEST_GRID_NAME} and be printable")]
    Name {
        /// Which file.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The API's address is invalid.
    #[error(
        "api_url in {path} must begin with http:// or https://, and have a host and neither name, password nor query"
    )]
    ApiUrl {
        /// Which file.
        path: PathBuf,
    },
    /// A text of the section `[about]` cannot be shown.
    #[error("{key} in {path} must be {range}")]
    About {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What is accepted.
        range: String,
    },
    /// The operator's API would be open to other machines.
    #[error("operator_listen in {path} must be a loopback address, such as 127.0.0.1:9464")]
    OperatorListen {
        /// Which file.
        path: PathBuf,
    },
    /// Only one of the two files of TLS is named.
    #[error("tls_cert and tls_key in {path} belong together: one of them is missing")]
    HalfTls {
        /// Which file.
        path: PathBuf,
    },
    /// An allowed name or origin is invalid.
    #[error("{key} in {path} has {value:?}, but must have {range}")]
    Allowed {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What it has.
        value: String,
        /// What is accepted.
        range: &'static str,
    },
    /// A number is out of its range.
    #[error("{key} in {path} is {value}, but must be {range}")]
    Range {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// Its value.
        value: usize,
        /// What is accepted.
        range: &'static str,
    },
}

impl Settings {
    /// The files of the API's certificate and key, if it has them.
    pub(crate) fn certificate(&self, folder: &Path) -> Option<(PathBuf, PathBuf)> {
        let (cert, key) = (self.tls_cert.as_ref()?, self.tls_key.as_ref()?);
        Some((folder.join(cert), folder.join(key)))
    }

    /// Reads `coordinator.toml` in `folder`; defaults where there is none.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key, or a value out of range.
    pub fn load(folder: &Path) -> Result<Self, SettingsError> {
        let path = folder.join("coordinator.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(SettingsError::Read { path, source }),
        };
        let settings: Self = toml::from_str(&text)
            .map_err(|error| SettingsError::Parse { path: path.clone(), message: error.to_string() })?;
        if !is_grid_name(&settings.name) {
            return Err(SettingsError::Name { path, length: settings.name.len() });
        }
        if settings.api_url.as_deref().is_some_and(|url| !is_url(url)) {
            return Err(SettingsError::ApiUrl { path });
        }
        if let Some((key, range)) = settings.about.mistake() {
            return Err(SettingsError::About { path, key, range });
        }
        let host = settings.allowed_hosts.iter().find(|host| !is_host(host));
        let host = host.map(|host| ("allowed_hosts", host, "names without port, as in 'llm.example.org'"));
        let origin = settings.allowed_origins.iter().find(|origin| !is_origin(origin));
        let origin = origin.map(|origin| ("allowed_origins", origin, "origins, as in 'https://chat.example.org'"));
        if let Some((key, value, range)) = host.or(origin) {
            return Err(SettingsError::Allowed { path, key, value: value.clone(), range });
        }
        if !settings.operator_listen.ip().is_loopback() {
            return Err(SettingsError::OperatorListen { path });
        }
        if settings.tls_cert.is_some() != settings.tls_key.is_some() {
            return Err(SettingsError::HalfTls { path });
        }
        let stall = usize::try_from(settings.client_stall_seconds).unwrap_or(usize::MAX);
        for (key, value, [least, most], range) in [
            ("max_sessions", settings.max_sessions, [1, 65_536], "1 to 65536"),
            ("max_sessions_per_address", settings.max_sessions_per_address, [1, 65_536], "1 to 65536"),
            ("queue_capacity", settings.queue_capacity, [0, 1_000_000], "0 to 1000000"),
            ("client_stall_seconds", stall, [1, 3600], "1 to 3600"),
            ("max_connections", settings.max_connections, [16, 65_536], "16 to 65536"),
            ("max_connections_per_address", settings.max_connections_per_address, [1, 65_536], "1 to 65536"),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SettingsError::Range { path, key, value, range });
            }
        }
        Ok(settings)
    }
}

/// Whether a text is a host's name alone.
fn is_host(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    text.len() <= 253 && text.split('.').all(part)
}

/// Whether a text is an origin as browsers send it: scheme, host, and a port where it is not the scheme's own.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let uri = text.parse::<axum::http::Uri>().ok();
    host.is_some_and(|host| !host.contains(['/', '?', '#', '@', '*']))
        && uri.is_some_and(|uri| uri.authority().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("coordinator.toml"), text).expect("written");
        Settings::load(folder.path())
    }

    #[test]
    fn only_what_is_given_differs_from_the_defaults() {
        assert_eq!(load("").expect("fine"), Settings::default());
        assert_eq!(load("max_sessions = 3").expect("fine"), Settings { max_sessions: 3, ..Settings::default() });
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| load(text).expect_err("a mistake").to_string();
        assert!(error("lisen = '127.0.0.1:1'").contains("lisen"));
        assert!(error("listen = 7").contains("listen"));
        assert!(error("max_sessions = 0").contains("max_sessions in"));
        assert!(error("client_stall_seconds = 0").contains("client_stall_seconds in"));
        assert!(error("max_connections = 3").contains("must be 16 to 65536"));
        assert!(error("api_url = 'llm.example.org'").contains("api_url in"));
        assert!(error("operator_listen = '0.0.0.0:9464'").contains("must be a loopback address"));
        assert!(error("tls_cert = 'cert.pem'").contains("one of them is missing"));
        for host in ["*", "https://llm.example.org", "llm.example.org:80", "", "a..b"] {
            assert!(
                error(&format!("allowed_hosts = ['llm.example', '{host}']")).contains("allowed_hosts in"),
                "{host}"
            );
        }
        for origin in ["*", "chat.example", "https://", "https://chat.example/", "https://*.example"] {
            assert!(error(&format!("allowed_origins = ['{origin}']")).contains("allowed_origins in"), "{origin}");
        }
        let fine =
            "allowed_hosts = ['llm.example']\nallowed_origins = ['https://chat.example:8443', 'http://localhost']";
        assert_eq!(load(fine).expect("fine").allowed_origins.len(), 2);
        assert!(error("[about]\nowners = 'x'").contains("owners"));
        assert!(error("[about]\nowner = \"two\\nlines\"").contains("about.owner in"));
        assert!(error("[about]\nmodels = ['a', '']").contains("about.models, line 2 in"));
        assert!(error(&format!("[about]\nmodels = [{}]", "'a',".repeat(17))).contains("at most 16 lines"));
        assert!(error(&format!("[about]\npurpose = '{}'", "x".repeat(201))).contains("200 bytes"));
        assert!(error("name = ' '").contains("name in"));
        assert!(error(&format!("name = '{}'", "x".repeat(61))).contains("61 bytes"));
        assert!(error("name = \"two\\nlines\"").contains("printable"));
    }
}
