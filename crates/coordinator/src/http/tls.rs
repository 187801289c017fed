//! TLS of the API, by files that are read again when they change: certificates are renewed while the program runs.

use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM of its kind.
    #[error("cannot use {path} ({what})")]
    File {
        /// Which file.
        path: PathBuf,
        /// The setting that names it.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    #[error("tls_cert and tls_key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// The settings of TLS itself.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// A certificate with its key, as the files have them.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads a certificate chain and a private key, both PEM.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(Arc::new(read(cert, key)?));
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), current }))
    }

    /// What a listener needs.
    pub(crate) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.map_err(TlsError::Setup)?.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Takes changes of the files for as long as it is polled. Files that cannot be used leave what is in use.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut seen = self.changed_at();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.changed_at();
            if now == seen {
                continue;
            }
            seen = now;
            match read(&self.cert, &self.key) {
                Ok(current) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
                    tracing::info!(cert = %self.cert.display(), "the API has a new certificate");
                }
                // Both files change one after the other: the next look may find a pair.
                Err(error) => tracing::warn!(%error, "the changed certificate cannot be used; the old one stays"),
            }
        }
    }

    fn changed_at(&self) -> [Option<SystemTime>; 2] {
        [&self.cert, &self.key].map(|path| fs::metadata(path).and_then(|found| found.modified()).ok())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let failed = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::File { path, what, source }
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(failed(cert, "tls_cert"))?;
    if chain.is_empty() {
        return Err(failed(cert, "tls_cert")(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(failed(key, "tls_key"))?;
    CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider()).map_err(TlsError::Pair)
}
