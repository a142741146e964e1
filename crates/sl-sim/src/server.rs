//! One simulated server: its state, and the handle that tests hold.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::http::request::Parts;
use socket2::Socket;

use crate::counters::Tally;
use crate::faults::{Fault, Faults};
use crate::net::sockets;
use crate::net::worker::Worker;
use crate::registry::Book;
use crate::request_log::Recent;

/// Locks, even after a panic elsewhere: the state is only counters and lists.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of one server, shared by its connections and its handles.
pub(crate) struct Server {
    /// From 1.
    pub(crate) n: usize,
    pub(crate) address: SocketAddr,
    /// `host:port` for URLs that lead here.
    pub(crate) authority: String,
    pub(crate) secret: String,
    /// What index reports as bbbVersion.
    pub(crate) version: String,
    pub(crate) log_checksum_failures: bool,
    pub(crate) tally: Tally,
    pub(crate) book: Mutex<Book>,
    /// Fast answer to "is any fault set": requests look at the list only then.
    faulty: AtomicBool,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) recording: AtomicBool,
    pub(crate) recent: Mutex<Recent>,
    /// Milliseconds that this server's clock is ahead of the real one.
    pub(crate) ahead_ms: AtomicI64,
    /// Bound and never listening: keeps the port ours while connections are
    /// refused. `None` once stopped.
    port: Mutex<Option<Socket>>,
    /// Copies of the listening sockets, to close them all at once.
    listening: Mutex<Vec<Socket>>,
    workers: Vec<Worker>,
}

/// What a [`Server`] is made of.
pub(crate) struct Making {
    pub(crate) n: usize,
    pub(crate) port: Socket,
    pub(crate) secret: String,
    pub(crate) version: String,
    pub(crate) record_requests: bool,
    pub(crate) log_checksum_failures: bool,
    pub(crate) workers: Vec<Worker>,
}

impl Server {
    pub(crate) fn new(making: Making) -> io::Result<Server> {
        let address = sockets::address_of(&making.port)?;
        Ok(Server {
            n: making.n,
            address,
            authority: reachable(address).to_string(),
            secret: making.secret,
            version: making.version,
            log_checksum_failures: making.log_checksum_failures,
            tally: Tally::default(),
            book: Mutex::default(),
            faulty: AtomicBool::new(false),
            faults: Mutex::default(),
            recording: AtomicBool::new(making.record_requests),
            recent: Mutex::default(),
            ahead_ms: AtomicI64::new(0),
            port: Mutex::new(Some(making.port)),
            listening: Mutex::default(),
            workers: making.workers,
        })
    }

    /// The meetings. Hold this for in-memory work only.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Milliseconds since 1970 on this server's clock, the only one it reads.
    pub(crate) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64 + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The fault that a request to `call` meets.
    pub(crate) fn fault_for(&self, call: &str) -> Option<Fault> {
        if !self.faulty.load(Ordering::Acquire) {
            return None;
        }
        let mut faults = lock(&self.faults);
        let fault = faults.take(call);
        self.faulty.store(!faults.is_empty(), Ordering::Release);
        drop(faults);
        if fault.is_some() {
            self.tally.faults.one();
        }
        fault
    }

    pub(crate) fn recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, parts: Parts, body: Bytes) {
        lock(&self.recent).add(parts, body);
    }

    /// Opens one listening socket per worker, unless they are open or the
    /// server has been stopped.
    pub(crate) fn listen(self: &Arc<Server>) -> io::Result<()> {
        let port = lock(&self.port);
        let mut listening = lock(&self.listening);
        if port.is_none() || !listening.is_empty() {
            return Ok(());
        }
        let mut sockets = Vec::with_capacity(self.workers.len());
        for _ in &self.workers {
            sockets.push(sockets::listen(self.address)?);
        }
        for (worker, socket) in self.workers.iter().zip(sockets) {
            listening.push(socket.try_clone()?);
            worker.accept_on(self.clone(), socket.into());
        }
        Ok(())
    }

    /// Closes the listening sockets now, for all workers: whoever connects from
    /// here on is refused. The workers drop their open connections.
    fn close(&self) {
        for socket in lock(&self.listening).drain(..) {
            // Shutting down a listening socket closes it for every holder.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Closes for good and gives the port back.
    pub(crate) fn stop(&self) {
        lock(&self.port).take();
        self.close();
    }

    pub(crate) fn change_faults(self: &Arc<Server>, change: impl FnOnce(&mut Faults)) {
        let mut faults = lock(&self.faults);
        change(&mut faults);
        self.faulty.store(!faults.is_empty(), Ordering::Release);
        // Still under the lock, lest two changes open and close the port in
        // another order than they set the faults.
        if faults.refusing() {
            self.close();
        } else if let Err(error) = self.listen() {
            tracing::error!(server = self.n, %error, "cannot listen again");
        }
    }
}

/// Where a server bound to `address` is reached: not at 0.0.0.0.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
