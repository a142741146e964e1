//! Connections to BBB servers: TCP and TLS under one deadline, HTTP/2 where a server offers it.

use crate::config::ServerClientConfig;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// EXTRA_CA_FILE could not be used.
#[derive(Debug, thiserror::Error)]
#[error("EXTRA_CA_FILE must be a readable PEM file with at least one certificate: {0}")]
pub struct BadCaFile(String);

/// What servers' certificates are checked against: the system's roots and EXTRA_CA_FILE. Reading
/// them takes a while, so this is done once for all threads.
pub fn tls(config: &ServerClientConfig) -> Result<Arc<ClientConfig>, BadCaFile> {
    tls_with(config.extra_ca_file.as_deref())
}

/// The same, with that file.
pub fn tls_with(extra_ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, BadCaFile> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_ca_file {
        let bad = |why: String| BadCaFile(format!("{}: {why}", path.display()));
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| bad(error.to_string()))?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(bad("no certificate in it".into()));
        }
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// Connects within a deadline.
#[derive(Clone)]
pub struct Connector {
    inner: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

impl Connector {
    /// With roots from [`tls`].
    pub fn new(tls: &Arc<ClientConfig>, timeout: Duration) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls.as_ref().clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        Connector { inner, timeout }
    }
}

impl Service<http::Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector> as Service<http::Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err("no connection within CONNECT_TIMEOUT".into()),
            }
        })
    }
}
