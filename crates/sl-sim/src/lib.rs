//! Simulated BigBlueButton servers: many in one process, over real sockets.
//!
//! `sl sim` and `sl dev`, the integration tests and the benchmarks use them. They are a **second opinion**: they verify
//! checksums, parse queries and write XML with code of their own, and this crate cannot import the proxy, so that a bug
//! there is not hidden by the same bug here.
//!
//! # Tour
//! A request goes from `net/` through `service` to `calls/`, or to `faults/` if one is set.
//!
//! | file | |
//! | --- | --- |
//! | `net/` | `sockets`: reserved ports; `worker`: threads, each accepting on all ports (SO_REUSEPORT); `connection` |
//! | `service` | handles one HTTP request: parameters, checksum, call or fault |
//! | `protocol/` | the BBB protocol: `params`, `checksum`, `xml` |
//! | `calls/` | the API calls: `create`, `join` and its page, `meetings` (the others), `session` (those of a browser), `hooks` |
//! | `faults/` | the kinds of faults; `inject`: the effect of each; `bodies`, `socket`: the broken responses |
//! | `server`, `handle` | the state of one server; [`SimServer`], the handle to it |
//! | `registry`, `meeting` | the meetings and hooks of one server; one meeting and its XML |
//! | `version` | the BBB versions, whose answers differ |
//! | `counters`, `request_log` | number of requests by call; the last requests |
//! | `control` | the control API |
//! | `populate`, `demo`, `random` | generated meetings and participants; demo meetings that change; random ids |
//! | `recording/` | archives of recordings, as the post-publish script of a BBB server makes them |
//! | `tests/` | the calls, the faults and the control API, over TCP |
//!
//! # From Rust
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use sl_sim::{Fault, FaultKind, Sim, SimConfig};
//!
//! let sim = Sim::start(SimConfig { servers: 2, ..SimConfig::default() })?;
//! let server = &sim.servers()[0];
//! println!("{} {}", server.url(), server.secret());
//! server.set_fault(FaultKind::Hang);
//! server.set_fault(Fault::new(FaultKind::Slow { ms: 500 }).on(["create"]).times(3));
//! server.clear_faults();
//! # Ok(()) }
//! ```
//!
//! # The control API
//! HTTP and JSON on a second port, at [`Sim::control_url`]. `{n}` is a server's number, from 1; `{id}` is a
//! percent-encoded meetingID.
//!
//! | request | |
//! | --- | --- |
//! | `GET /servers` | all servers: n, url, secret, meetings, people, counts, fault |
//! | `GET /servers/{n}` | one server |
//! | `POST /servers/{n}/fault` | sets a [`Fault`]: `{"kind":"slow","ms":500,"calls":["create"],"times":3,"delay_ms":0}`; only `kind` and its own fields are required |
//! | `GET`, `DELETE /servers/{n}/fault` | lists the faults; clears them |
//! | `POST /servers/{n}/restart` | loses all meetings and hooks |
//! | `POST /servers/{n}/clock` | `{"advance_ms":60000}` moves its clock forward |
//! | `GET`, `DELETE /servers/{n}/requests` | lists the last 100 requests as received; clears them |
//! | `GET /servers/{n}/meetings` | the meetings with their participants |
//! | `POST /servers/{n}/meetings` | `{"id":"m","name":"M","people":5}` adds a meeting without a create; with `"count":100` it adds `m-1` to `m-100` |
//! | `GET /servers/{n}/meetings/{id}` | one meeting |
//! | `POST /servers/{n}/meetings/{id}/people` | `{"add":5}` or `{"remove":2}` participants |
//! | `POST /servers/{n}/meetings/{id}/breakouts` | `{"add":3,"free_join":false}` |
//! | `POST /servers/{n}/meetings/{id}/end` | ends it as a moderator does |
//! | `POST /servers/{n}/meetings/{id}/forget` | removes it as if it had never been created |
//!
//! The response is `{"ok":true}` or the requested data; errors (400, 404, 409) have `{"error":…}`. The kinds of faults are
//! those of [`FaultKind`] in snake_case. There is no authentication: this is for tests and demos.

mod calls;
mod control;
mod counters;
mod demo;
mod faults;
mod handle;
mod meeting;
mod net;
mod populate;
mod protocol;
mod random;
mod recording;
mod registry;
mod request_log;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod version;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::{fmt, io, thread};

pub use counters::Counts;
pub use faults::{Fault, FaultKind};
pub use handle::SimServer;
pub use meeting::{MeetingView, PersonView};
pub use recording::{Compression, Recording, RecordingFormat};
pub use request_log::RecordedRequest;
pub use version::{BbbLine, BbbVersion, UnknownVersion};

use control::Control;
use net::sockets;
use net::worker::Worker;
use server::{Server, ServerOptions};

/// Settings of the simulated servers.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Number of servers, at least 1.
    pub servers: usize,
    /// Address that the servers and the control API listen on.
    pub bind: IpAddr,
    /// Port of the first server; the others follow. 0: any free ports.
    pub first_port: u16,
    /// Secret of all servers; `None`: a random one for each.
    pub secret: Option<String>,
    /// Port of the control API; 0: any free port.
    pub control_port: u16,
    /// Number of worker threads, at least 1.
    pub threads: usize,
    /// The BBB version that the servers report, and whose answers they give.
    pub version: BbbVersion,
    /// For demos: approximate number of participants on each server, who join and leave, in meetings of about eight.
    /// 0: no meetings.
    pub people: u32,
    /// Whether each server records its last 100 requests. Costs about 1 µs per request.
    pub record_requests: bool,
    /// Whether to log each checksum failure as a warning.
    pub log_checksum_failures: bool,
}

impl Default for SimConfig {
    /// One empty server on a free port of 127.0.0.1, with a random secret.
    fn default() -> SimConfig {
        SimConfig {
            servers: 1,
            bind: Ipv4Addr::LOCALHOST.into(),
            first_port: 0,
            secret: None,
            control_port: 0,
            threads: 1,
            version: BbbVersion::default(),
            people: 0,
            record_requests: true,
            log_checksum_failures: false,
        }
    }
}

/// The running servers. Drop stops them, closes their connections and frees their ports before it returns.
pub struct Sim {
    servers: Arc<[SimServer]>,
    control_url: String,
    /// `None` once stopped.
    control: Option<Control>,
    workers: Vec<(Worker, thread::JoinHandle<()>)>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.servers.iter()).finish()
    }
}

impl Sim {
    /// Starts the servers on their own threads. They accept connections when this returns. May be called inside or
    /// outside a runtime.
    ///
    /// # Errors
    /// A port is in use or above 65535, or a thread cannot be started.
    pub fn start(config: SimConfig) -> io::Result<Sim> {
        let mut sim =
            Sim { servers: Arc::from([]), control_url: String::new(), control: None, workers: Vec::new() };
        // From here on an error drops `sim`, which stops what was started.
        for n in 0..config.threads.max(1) {
            sim.workers.push(Worker::start(format!("sim-{n}"))?);
        }
        let workers: Vec<Worker> = sim.workers.iter().map(|(w, _)| w.clone()).collect();
        let mut servers = Vec::new();
        for n in 1..=config.servers.max(1) {
            let server = Arc::new(Server::new(ServerOptions {
                number: n,
                reserved_port: sockets::reserve_port(SocketAddr::new(config.bind, server_port(&config, n)?))?,
                secret: config.secret.clone().unwrap_or_else(|| random::random_word(40)),
                version: config.version.clone(),
                record_requests: config.record_requests,
                log_checksum_failures: config.log_checksum_failures,
                workers: workers.clone(),
            })?);
            server.listen()?;
            servers.push(SimServer(server));
        }
        sim.servers = servers.into();
        let control = Control::start(
            SocketAddr::new(config.bind, config.control_port),
            sim.servers.clone(),
            config.people,
        )?;
        sim.control_url = format!("http://{}", server::connectable_address(control.address));
        sim.control = Some(control);
        Ok(sim)
    }

    /// The servers, in order.
    pub fn servers(&self) -> &[SimServer] {
        &self.servers
    }

    /// The control API: `http://127.0.0.1:PORT`.
    pub fn control_url(&self) -> String {
        self.control_url.clone()
    }

    /// Stops all servers, as drop does.
    pub fn stop(self) {}
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            control.stop();
        }
        for server in self.servers.iter() {
            server.0.stop();
        }
        for (worker, _) in &self.workers {
            worker.stop();
        }
        for (_, thread) in self.workers.drain(..) {
            let _ = thread.join();
        }
    }
}

fn server_port(config: &SimConfig, n: usize) -> io::Result<u16> {
    if config.first_port == 0 {
        return Ok(0);
    }
    u16::try_from(usize::from(config.first_port) + n - 1).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("server {n} would have a port above 65535"))
    })
}
