//! Sockets, and our own accept loop around the warp service: header timeout, header limits, and a
//! stop that lets what has begun come to its end.

use super::drain::DrainSignal;
use crate::config::{Bind, ListenConfig};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::either::Either;
use tracing::warn;
use warp::Filter;
use warp::reply::Response;

/// A request head may have this many bytes: a request line of 64 KB and room for headers.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// The sockets, one for each worker. TCP workers have one each (SO_REUSEPORT), so that the kernel
/// spreads connections; on a unix socket they share.
pub struct Listeners {
    sockets: Vec<Listener>,
    address: String,
}

/// One worker's socket, still outside any runtime.
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
            Bind::Tcp(address) => tcp(address, config.workers),
            Bind::Unix(path) => unix(path, config.workers),
        }
    }

    /// Where: `http://…`, with the port that was given for port 0, or `unix:…`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A socket for each worker.
    pub fn into_sockets(self) -> Vec<Listener> {
        self.sockets
    }
}

fn tcp(address: &str, workers: usize) -> io::Result<Listeners> {
    let resolved: SocketAddr = address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))?;
    let socket = |reuse_port: bool| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(resolved), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        Ok(socket)
    };
    if resolved.port() != 0 {
        // Sharing a port with another program by mistake must fail, and with SO_REUSEPORT it would
        // not. Bound only: a client whom this socket let in would be thrown out again.
        socket(false)?.bind(&resolved.into())?;
    }
    let mut sockets = Vec::with_capacity(workers);
    let mut bound = resolved;
    for _ in 0..workers {
        let socket = socket(true)?;
        socket.bind(&bound.into())?;
        // All at the port that the first one got, where it was to take any.
        bound = socket.local_addr()?.as_socket().unwrap_or(bound);
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        sockets.push(Listener::Tcp(socket.into()));
    }
    Ok(Listeners { sockets, address: format!("http://{bound}") })
}

fn unix(path: &Path, workers: usize) -> io::Result<Listeners> {
    // A socket that a killed predecessor left behind is in the way; one that answers is not ours.
    let left_behind = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if left_behind && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let first = std::os::unix::net::UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(Listener::Unix(first.try_clone()?));
    }
    sockets.push(Listener::Unix(first));
    Ok(Listeners { sockets, address: format!("unix:{}", path.display()) })
}

/// Serves until told to stop; then gives notice of it, takes no more connections, and waits for those
/// it has until SHUTDOWN_GRACE is over. Returns when that is, and how many connections were cut off.
pub async fn serve<F>(
    listener: Listener,
    service: F,
    config: &ListenConfig,
    drain: &DrainSignal,
    mut stop: watch::Receiver<bool>,
) -> io::Result<(Instant, usize)>
where
    F: Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Future: Send,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).max_buf_size(MAX_HEAD_BYTES);
    let graceful = GracefulShutdown::new();
    let service = TowerToHyperService::new(warp::service(service));
    let connection = |stream: Stream| {
        let serving = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            // What goes wrong on a connection is the client's business: it hung up, was too slow,
            // or spoke no HTTP.
            let _ = serving.await;
        });
    };
    let acceptor = Acceptor::new(listener)?;
    let over = async {
        // An error would mean that nobody is left who could tell us to stop.
        let _ = stop.wait_for(|stop| *stop).await;
        let now = Instant::now();
        tokio::time::sleep(drain.begin_drain().min(config.shutdown_grace)).await;
        now + config.shutdown_grace
    };
    let mut over = std::pin::pin!(over);
    let deadline = loop {
        tokio::select! {
            accepted = acceptor.accept() => match accepted {
                Ok(stream) => connection(stream),
                // Out of file descriptors, most likely: those in the queue wait a moment.
                Err(failure) => {
                    warn!(%failure, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            deadline = &mut over => break deadline,
        }
    };
    // Whoever is in the queue by now was told that the connection stands.
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::ZERO, acceptor.accept()).await {
        connection(stream);
    }
    drop(acceptor);
    // hyper closes a connection that has brought nothing yet. So each gets its turn, the runtime learns
    // what has come in, and each gets its turn again: tasks run in the order in which they woke up.
    let _ = tokio::spawn(async {}).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let _ = tokio::spawn(async {}).await;
    let open = graceful.count();
    match tokio::time::timeout_at(deadline, graceful.shutdown()).await {
        Ok(()) => Ok((deadline, 0)),
        Err(_) => Ok((deadline, open)),
    }
}

type Stream = Either<TcpStream, UnixStream>;

/// A listener inside its runtime.
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
    async fn requests_that_are_in_the_queue_when_the_stop_comes_are_answered() {
        let mut config = crate::config::Config::read(&|_| None).unwrap().listen;
        config.bind = Bind::Tcp("127.0.0.1:0".to_owned());
        config.workers = 1;
        let listeners = Listeners::bind(&config).unwrap();
        let address = listeners.address().trim_start_matches("http://").to_owned();
        // So many that the stop is seen before the last of them.
        let mut clients: Vec<_> = (0..400).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nHost: sl\r\n\r\n").unwrap();
        }
        let (_stop, stopped) = watch::channel(true);
        let service = warp::any().map(|| "here".into_response());
        let listener = listeners.into_sockets().remove(0);
        serve(listener, service, &config, &DrainSignal::default(), stopped).await.unwrap();
        for mut client in clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
    }
}
