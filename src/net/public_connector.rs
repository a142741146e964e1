//! Connections to receivers of callbacks. A name is resolved here, every address that it has is looked at,
//! and one of these is connected to: nothing resolves it a second time and finds another.

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
pub struct Guarded {
    allowed: Arc<AllowPrivate>,
    /// For each address: there may be others.
    patience: Duration,
}

impl Guarded {
    /// With TLS where the URL says so.
    pub fn with_tls(
        allowed: &AllowPrivate,
        patience: Duration,
        tls: &Arc<ClientConfig>,
    ) -> HttpsConnector<Guarded> {
        let guarded = Guarded { allowed: Arc::new(allowed.clone()), patience };
        HttpsConnectorBuilder::new()
            .with_tls_config(tls.as_ref().clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(guarded)
    }

    async fn connect(self, host: &str, port: u16) -> Result<TokioIo<TcpStream>, BoxError> {
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![(address, port).into()],
            Err(_) => lookup_host((host, port)).await?.collect(),
        };
        // One bad address makes the name bad: which one is taken would be its owner's choice.
        addresses.iter().try_for_each(|at| public_address::check(at.ip(), &self.allowed))?;
        let mut failure: BoxError = "the name has no address".into();
        for at in addresses {
            match timeout(self.patience, TcpStream::connect(at)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = "no connection in time".into(),
            }
        }
        Err(failure)
    }
}

/// The address that a connection was refused for, if that is what an error comes from.
pub fn refused(error: &(dyn std::error::Error + 'static)) -> Option<NotPublic> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(*refused);
        }
        cause = error.source();
    }
    None
}

impl Service<http::Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let guarded = self.clone();
        Box::pin(async move {
            let host = uri.host().ok_or("a URL without a host")?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let default = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
            guarded.connect(host, uri.port_u16().unwrap_or(default)).await
        })
    }
}
