//! The state of one simulated server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::http::request::Parts;
use socket2::Socket;

use crate::counters::Counters;
use crate::faults::{Fault, FaultList};
use crate::net::sockets;
use crate::net::worker::Worker;
use crate::registry::Registry;
use crate::request_log::RequestLog;
use crate::version::{BbbLine, BbbVersion};

/// Locks and ignores poisoning: the state is only counters and lists, which a panic elsewhere leaves usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One server, shared by its connections and its handles.
pub(crate) struct Server {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) address: SocketAddr,
    /// `host:port` for URLs of this server.
    pub(crate) authority: String,
    pub(crate) secret: String,
    pub(crate) version: Mutex<BbbVersion>,
    pub(crate) log_checksum_failures: bool,
    pub(crate) counters: Counters,
    pub(crate) registry: Mutex<Registry>,
    /// Whether `faults` has any: saves requests the lock.
    has_faults: AtomicBool,
    pub(crate) faults: Mutex<FaultList>,
    pub(crate) records_requests: AtomicBool,
    pub(crate) request_log: Mutex<RequestLog>,
    /// How far this server's clock is ahead of the real one.
    pub(crate) clock_offset_ms: AtomicI64,
    /// Bound, never listening: keeps the port reserved while connections are refused. `None` once stopped.
    reserved_port: Mutex<Option<Socket>>,
    /// Duplicates of the listening sockets, to close all of them at once.
    listeners: Mutex<Vec<Socket>>,
    workers: Vec<Worker>,
}

/// What [`Server::new`] needs.
pub(crate) struct ServerOptions {
    pub(crate) number: usize,
    pub(crate) reserved_port: Socket,
    pub(crate) secret: String,
    pub(crate) version: BbbVersion,
    pub(crate) record_requests: bool,
    pub(crate) log_checksum_failures: bool,
    pub(crate) workers: Vec<Worker>,
}

impl Server {
    pub(crate) fn new(options: ServerOptions) -> io::Result<Server> {
        let address = sockets::local_address(&options.reserved_port)?;
        Ok(Server {
            number: options.number,
            address,
            authority: connectable_address(address).to_string(),
            secret: options.secret,
            version: Mutex::new(options.version),
            log_checksum_failures: options.log_checksum_failures,
            counters: Counters::default(),
            registry: Mutex::default(),
            has_faults: AtomicBool::new(false),
            faults: Mutex::default(),
            records_requests: AtomicBool::new(options.record_requests),
            request_log: Mutex::default(),
            clock_offset_ms: AtomicI64::new(0),
            reserved_port: Mutex::new(Some(options.reserved_port)),
            listeners: Mutex::default(),
            workers: options.workers,
        })
    }

    /// The release line whose answers it gives.
    pub(crate) fn line(&self) -> BbbLine {
        lock(&self.version).line()
    }

    /// Locks the meetings and hooks. Hold the lock for in-memory work only.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// The time on this server's own clock, in milliseconds since 1970. Nothing here reads another clock.
    pub(crate) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64 + self.clock_offset_ms.load(Ordering::Relaxed)
    }

    /// The fault that applies to a request to `call`; counts against its limit.
    pub(crate) fn take_fault(&self, call: &str) -> Option<Fault> {
        if !self.has_faults.load(Ordering::Acquire) {
            return None;
        }
        let mut faults = lock(&self.faults);
        let fault = faults.take(call);
        self.has_faults.store(!faults.is_empty(), Ordering::Release);
        drop(faults);
        if fault.is_some() {
            self.counters.faults.increment();
        }
        fault
    }

    pub(crate) fn records_requests(&self) -> bool {
        self.records_requests.load(Ordering::Relaxed)
    }

    pub(crate) fn record_request(&self, parts: Parts, body: Bytes) {
        lock(&self.request_log).add(parts, body);
    }

    /// Opens one listening socket per worker, unless they are open or the server was stopped.
    pub(crate) fn listen(self: &Arc<Server>) -> io::Result<()> {
        let port = lock(&self.reserved_port);
        let mut listeners = lock(&self.listeners);
        if port.is_none() || !listeners.is_empty() {
            return Ok(());
        }
        let mut sockets = Vec::with_capacity(self.workers.len());
        for _ in &self.workers {
            sockets.push(sockets::bind_listener(self.address)?);
        }
        for (worker, socket) in self.workers.iter().zip(sockets) {
            listeners.push(socket.try_clone()?);
            worker.accept_on(self.clone(), socket.into());
        }
        Ok(())
    }

    /// Closes the listening sockets of all workers at once: new connections are refused, and the workers drop the
    /// open ones.
    fn close_listeners(&self) {
        for socket in lock(&self.listeners).drain(..) {
            // shutdown() stops listening on every duplicate of the socket.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Closes permanently and frees the port.
    pub(crate) fn stop(&self) {
        lock(&self.reserved_port).take();
        self.close_listeners();
    }

    pub(crate) fn update_faults(self: &Arc<Server>, change: impl FnOnce(&mut FaultList)) {
        let mut faults = lock(&self.faults);
        change(&mut faults);
        self.has_faults.store(!faults.is_empty(), Ordering::Release);
        // Under the lock: otherwise two updates could open and close the port in a different order than they set
        // the faults.
        if faults.refuses_connections() {
            self.close_listeners();
        } else if let Err(error) = self.listen() {
            tracing::error!(server = self.number, %error, "cannot reopen the port");
        }
    }
}

/// The address that clients connect to: loopback when bound to the unspecified address.
pub(crate) fn connectable_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
