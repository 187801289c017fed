/// Names the cryptography that TLS uses in this process: ring, as the links do. Call it before making an HTTP client,
/// which would otherwise not know which one to take; further calls change nothing.
pub fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
