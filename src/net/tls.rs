//! TLS for outgoing connections: which certificates are trusted.

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// EXTRA_CA_FILE cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("EXTRA_CA_FILE must be a readable PEM file with at least one certificate: {0}")]
pub struct BadCaFile(String);

/// Trusts the system's roots and those in `extra_ca_file` (EXTRA_CA_FILE). Reading them takes a while, so
/// this is done once for all threads.
pub fn client_config(extra_ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, BadCaFile> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_ca_file {
        let bad = |reason: String| BadCaFile(format!("{}: {reason}", path.display()));
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| bad(error.to_string()))?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(bad("it contains no certificate".into()));
        }
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
