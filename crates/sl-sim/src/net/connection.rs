//! One TCP connection: hyper speaks HTTP on it until a fault takes the socket away.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::server::{Server, lock};
use crate::service;

/// One TCP connection. A fault below HTTP takes the stream away from hyper.
pub(crate) struct Connection {
    pub(crate) server: Arc<Server>,
    stream: Mutex<Option<TcpStream>>,
}

impl Connection {
    /// Takes the stream; from then on hyper gets NotConnected.
    pub(crate) fn take_stream(&self) -> Option<TcpStream> {
        lock(&self.stream).take()
    }
}

/// Serves HTTP until the connection ends.
pub(super) async fn serve(server: Arc<Server>, stream: TcpStream) {
    let connection = Arc::new(Connection { server, stream: Mutex::new(Some(stream)) });
    let io = TokioIo::new(HyperStream(connection.clone()));
    let served = http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(io, service_fn(move |request| service::serve(connection.clone(), request)))
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "connection failed");
    }
}

/// The stream that hyper reads and writes. Its lock is never contended: only the connection's own task takes it.
struct HyperStream(Arc<Connection>);

impl HyperStream {
    fn poll_stream<T>(
        &self,
        poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match lock(&self.0.stream).as_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for HyperStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_stream(|stream| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for HyperStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_stream(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(|stream| stream.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_stream(|stream| stream.poll_write_vectored(cx, slices))
    }
}
