//! Sockets, and our own accept loop around the warp service: header timeout, header limits, and a
//! graceful drain with a deadline. warp's own server has none of these.

use super::drain::DrainSignal;
use super::strict_head::StrictHead;
use super::unix_socket;
use crate::config::{Bind, ListenConfig};
use crate::telemetry::permit_log;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;
use tracing::warn;
use warp::Filter;
use warp::reply::Response;

/// Limit of a request head: a request line of 64 KB and room for headers.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Connections that may wait in the kernel to be accepted.
pub(super) const BACKLOG: i32 = 4096;

/// Pause after a failed accept.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The response to a connection over MAX_CONNECTIONS. nginx sends its request to another replica.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\nConnection: close\r\n\r\ntoo many connections\n";

/// How long a refused client gets to read the response, and how many such clients wait for it; more are cut off.
const REFUSAL_PERIOD: Duration = Duration::from_secs(1);
const MAX_WAITING_REFUSALS: usize = 64;

/// At most one log line about refused connections in this time, for each thread.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Longer than the runtime needs to look at its sockets once.
const READ_QUEUED_DELAY: Duration = Duration::from_millis(1);

/// Listening sockets, one for each worker. TCP workers have their own (SO_REUSEPORT), so that the kernel
/// spreads connections (docs/decisions/0004); a unix socket is shared.
pub struct Listeners {
    sockets: Vec<Listener>,
    address: String,
}

/// A worker's socket, not yet registered with a runtime.
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A unix socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Listeners {
    /// Binds and listens.
    pub fn bind(config: &ListenConfig) -> io::Result<Listeners> {
        match &config.bind {
            Bind::Tcp(address) => bind_tcp(address, config.workers),
            Bind::Unix(path) => bind_unix(path, config),
        }
    }

    /// The address: `http://…`, with the port that the kernel chose for port 0, or `unix:…`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// One socket for each worker.
    pub fn into_sockets(self) -> Vec<Listener> {
        self.sockets
    }
}

fn bind_tcp(address: &str, workers: usize) -> io::Result<Listeners> {
    let resolved: SocketAddr = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "host name has no address"))?;
    let socket = |reuse_port: bool| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(resolved), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        Ok(socket)
    };
    if resolved.port() != 0 {
        // A port that another program uses must be an error, and with SO_REUSEPORT it would not be. This
        // socket is bound but does not listen: it would accept clients and drop them when it closes.
        socket(false)?.bind(&resolved.into())?;
    }
    let mut sockets = Vec::with_capacity(workers);
    let mut bound = resolved;
    for _ in 0..workers {
        let socket = socket(true)?;
        socket.bind(&bound.into())?;
        // With port 0 the others bind the port that the first one got.
        bound = socket.local_addr()?.as_socket().unwrap_or(bound);
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        sockets.push(Listener::Tcp(socket.into()));
    }
    Ok(Listeners { sockets, address: format!("http://{bound}") })
}

fn bind_unix(path: &Path, config: &ListenConfig) -> io::Result<Listeners> {
    let first = unix_socket::bind(path, config.socket_mode, config.socket_group.as_deref())?;
    let mut sockets = Vec::with_capacity(config.workers);
    for _ in 1..config.workers {
        sockets.push(Listener::Unix(first.try_clone()?));
    }
    sockets.push(Listener::Unix(first));
    Ok(Listeners { sockets, address: format!("unix:{}", path.display()) })
}

impl Listener {
    /// The same socket once more.
    pub fn try_clone(&self) -> io::Result<Listener> {
        Ok(match self {
            Listener::Tcp(socket) => Listener::Tcp(socket.try_clone()?),
            Listener::Unix(socket) => Listener::Unix(socket.try_clone()?),
        })
    }
}

/// How a drain ended.
#[derive(Debug)]
pub struct Drained {
    /// The end of SHUTDOWN_GRACE.
    pub deadline: Instant,
    /// Connections that are cut off, since they have not finished in time.
    pub cut_off: usize,
}

/// Serves until `stop` is true, each connection with one of `connections`' permits. Then refuses requests for a
/// moment (see [`DrainSignal`]), closes the listener, and waits for open connections until SHUTDOWN_GRACE is over.
pub async fn serve<F>(
    listener: Listener,
    service: F,
    config: &ListenConfig,
    drain: &DrainSignal,
    connections: &Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<Drained>
where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).max_buf_size(MAX_HEAD_BYTES);
    let graceful = GracefulShutdown::new();
    let service = TowerToHyperService::new(warp::service(service));
    let open = Arc::new(());
    let mut refusals = Refusals::default();
    let mut serve_connection = |stream: Stream| {
        let Ok(permit) = connections.clone().try_acquire_owned() else { return refusals.refuse(stream) };
        let stream = TokioIo::new(StrictHead::new(stream));
        let serving = graceful.watch(http.serve_connection(stream, service.clone()));
        let is_open = open.clone();
        tokio::spawn(async move {
            // An error is the client's: it hung up, was too slow, or sent no HTTP.
            let _ = serving.await;
            drop((permit, is_open));
        });
    };
    let acceptor = Acceptor::new(listener)?;
    let drained = async {
        // An error means that the sender is gone: stop as well.
        let _ = stop.wait_for(|stop| *stop).await;
        let deadline = Instant::now() + config.shutdown_grace;
        tokio::time::sleep(drain.begin_drain().min(config.shutdown_grace)).await;
        deadline
    };
    let mut drained = std::pin::pin!(drained);
    let deadline = loop {
        tokio::select! {
            accepted = acceptor.accept() => match accepted {
                Ok(stream) => serve_connection(stream),
                // Most likely out of file descriptors: connections wait in the queue meanwhile.
                Err(failure) => {
                    if let Some(permit) = permit_log("accept", "") {
                        warn!(%failure, suppressed = permit.suppressed, "cannot accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
            deadline = &mut drained => break deadline,
        }
    };
    // Clients in the accept queue are already connected: they are served too.
    while let Ok(Ok(stream)) = timeout(Duration::ZERO, acceptor.accept()).await {
        serve_connection(stream);
    }
    drop(acceptor);
    read_queued_requests().await;
    let finished = tokio::time::timeout_at(deadline, graceful.shutdown()).await.is_ok();
    Ok(Drained { deadline, cut_off: if finished { 0 } else { Arc::strong_count(&open) - 1 } })
}

/// Connections over MAX_CONNECTIONS.
#[derive(Default)]
struct Refusals {
    waiting: Arc<()>,
    logged: Option<Instant>,
}

impl Refusals {
    fn refuse(&mut self, stream: Stream) {
        if self.logged.is_none_or(|logged| logged.elapsed() >= REFUSAL_LOG_INTERVAL) {
            self.logged = Some(Instant::now());
            warn!("refusing connections: as many as MAX_CONNECTIONS allows are open");
        }
        if Arc::strong_count(&self.waiting) > MAX_WAITING_REFUSALS {
            return;
        }
        let waiting = self.waiting.clone();
        tokio::spawn(async move {
            let _ = timeout(REFUSAL_PERIOD, respond_and_close(stream)).await;
            drop(waiting);
        });
    }
}

/// Reads until the client closes too: closing a socket with unread bytes would destroy the response.
async fn respond_and_close(mut stream: Stream) -> io::Result<()> {
    stream.write_all(TOO_MANY_CONNECTIONS).await?;
    stream.shutdown().await?;
    let mut unread = [0; 512];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Lets connections that were just accepted read their first bytes: hyper's graceful shutdown closes a
/// connection that has not, and loses its request (see hyperium/hyper#3808). Tasks run in the order in which
/// they were woken: each connection runs once and registers its socket, the runtime looks at the sockets,
/// each runs once more and reads.
async fn read_queued_requests() {
    let _ = tokio::spawn(async {}).await;
    tokio::time::sleep(READ_QUEUED_DELAY).await;
    let _ = tokio::spawn(async {}).await;
}

type Stream = Either<TcpStream, UnixStream>;

/// A listener registered with its runtime.
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(listener: Listener) -> io::Result<Acceptor> {
        Ok(match listener {
            Listener::Tcp(socket) => Acceptor::Tcp(TcpListener::from_std(socket)?),
            Listener::Unix(socket) => Acceptor::Unix(UnixListener::from_std(socket)?),
        })
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Either::Left(stream))
            }
            Acceptor::Unix(listener) => Ok(Either::Right(listener.accept().await?.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use warp::reply::Reply;

    #[tokio::test]
    async fn requests_in_the_accept_queue_are_answered_when_the_replica_stops() {
        let mut config = crate::config::Config::read(&|_| None).unwrap().listen;
        config.bind = Bind::Tcp("127.0.0.1:0".to_owned());
        config.workers = 1;
        let listeners = Listeners::bind(&config).unwrap();
        let address = listeners.address().trim_start_matches("http://").to_owned();
        // Enough that the stop is seen before the last of them is accepted.
        let mut clients: Vec<_> = (0..400).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
        }
        let (_stop, stopped) = watch::channel(true);
        let service = warp::any().map(|| "here".into_response());
        let listener = listeners.into_sockets().remove(0);
        let connections = Arc::new(Semaphore::new(config.max_connections));
        serve(listener, service, &config, &DrainSignal::default(), &connections, stopped).await.unwrap();
        for mut client in clients {
            let mut response = String::new();
            client.read_to_string(&mut response).unwrap();
            assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        }
    }
}
