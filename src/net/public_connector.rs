//! Connections to receivers of callbacks. The connector resolves a name itself, checks all of its addresses,
//! and connects to one of those: nothing resolves the name again and gets another address.

use super::public_address::{self, NotPublic};
use crate::config::AllowPrivate;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// TCP to addresses that callbacks may go to.
#[derive(Debug, Clone)]
pub struct PublicConnector {
    allowed: Arc<AllowPrivate>,
    /// For each address, so that the next one gets its chance.
    connect_timeout: Duration,
}

impl PublicConnector {
    /// Connects with TLS if the scheme is https.
    pub fn with_tls(
        allowed: &AllowPrivate,
        connect_timeout: Duration,
        tls: &Arc<ClientConfig>,
    ) -> HttpsConnector<PublicConnector> {
        let connector = PublicConnector { allowed: Arc::new(allowed.clone()), connect_timeout };
        HttpsConnectorBuilder::new()
            .with_tls_config(tls.as_ref().clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector)
    }

    async fn connect(self, host: &str, port: u16) -> Result<TokioIo<TcpStream>, BoxError> {
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![(address, port).into()],
            Err(_) => lookup_host((host, port)).await?.collect(),
        };
        // One bad address makes the name bad: otherwise its owner could choose which one we connect to.
        addresses.iter().try_for_each(|at| public_address::check_public(at.ip(), &self.allowed))?;
        let mut failure: BoxError = "the host name has no address".into();
        for at in addresses {
            match timeout(self.connect_timeout, TcpStream::connect(at)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = "connection timed out".into(),
            }
        }
        Err(failure)
    }
}

/// The address that a connection was refused for, if that caused the error.
pub fn find_blocked_address(error: &(dyn std::error::Error + 'static)) -> Option<NotPublic> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(address) = error.downcast_ref() {
            return Some(*address);
        }
        cause = error.source();
    }
    None
}

impl Service<http::Uri> for PublicConnector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let host = uri.host().ok_or("the URL has no host")?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let default = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
            connector.connect(host, uri.port_u16().unwrap_or(default)).await
        })
    }
}
