//! Sockets, worker threads and connections, down to one HTTP request.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::{io, thread};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::server::{Server, lock};
use super::service;

/// Takes a port (0: any free one) for as long as the socket lives, without
/// listening on it. Fails when anybody else has it.
pub(super) fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp(address)?;
    // Sharing is allowed only after binding: two simulators must not end up
    // sharing a port, our own listening sockets must.
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

/// Listens on a port that [`reserve`] holds.
pub(super) fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket)
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where a socket is bound.
pub(super) fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet socket"))
}

enum Order {
    Accept(Arc<Server>, std::net::TcpListener),
    Stop,
}

/// Gives orders to one worker thread.
#[derive(Clone)]
pub(super) struct Worker(mpsc::UnboundedSender<Order>);

impl Worker {
    /// Starts a thread with a runtime of its own.
    pub(super) fn start(name: String) -> io::Result<(Worker, thread::JoinHandle<()>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut orders) = mpsc::unbounded_channel();
        let handle = thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async move {
                while let Some(Order::Accept(server, listener)) = orders.recv().await {
                    tokio::spawn(accept(server, listener));
                }
            });
        })?;
        Ok((Worker(sender), handle))
    }

    pub(super) fn accept_on(&self, server: Arc<Server>, listener: std::net::TcpListener) {
        // A worker that is gone has been stopped; so has the server.
        let _ = self.0.send(Order::Accept(server, listener));
    }

    pub(super) fn stop(&self) {
        let _ = self.0.send(Order::Stop);
    }
}

/// Accepts until the listening socket is shut down, then drops its connections.
async fn accept(server: Arc<Server>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(server = server.n, %error, "cannot accept"),
    };
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                server.tally.connections.one();
                // Only costs latency when it fails.
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(server.clone(), stream));
            }
            // What accept says of a socket that was shut down.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error) => {
                // Out of file descriptors, most likely: let some come back.
                tracing::warn!(server = server.n, %error, "accept failed");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

/// One TCP connection. Faults that need the bare socket take the stream out
/// from under hyper.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    stream: Mutex<Option<TcpStream>>,
}

impl Connection {
    /// The bare stream; from then on hyper sees an error.
    pub(super) fn take(&self) -> Option<TcpStream> {
        lock(&self.stream).take()
    }
}

async fn serve(server: Arc<Server>, stream: TcpStream) {
    let connection = Arc::new(Connection { server, stream: Mutex::new(Some(stream)) });
    let io = TokioIo::new(Io(connection.clone()));
    let served = http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(io, service_fn(move |request| service::serve(connection.clone(), request)))
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "connection");
    }
}

/// The stream as hyper reads and writes it: the lock is never contended, since
/// only the connection's own task takes it.
struct Io(Arc<Connection>);

impl Io {
    fn with<T>(&self, f: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match lock(&self.0.stream).as_mut() {
            Some(stream) => f(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, slices))
    }
}
