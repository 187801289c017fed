/// Makes ring the cryptography of TLS in this process, as it is of the links. An HTTP client cannot be made before. Further
/// calls change nothing.
pub fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
