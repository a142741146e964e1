//! Simulated BigBlueButton servers: many in one process, over real sockets.
//!
//! Used by `sl sim` and the pool of `sl dev`, by the integration tests and by
//! the load benchmark. They are a **second opinion**: checksums, queries and XML
//! are read and written by code of their own, and nothing here imports from the
//! rest of the crate, so that one mistake cannot hide another.
//!
//! # Tour
//! - `net`: ports, worker threads (a current-thread runtime each, all listening
//!   on all ports with SO_REUSEPORT), connections
//! - `service`: from an HTTP request to its answer, by way of the faults
//! - `params`, `checksum`, `xml`: the second opinions
//! - `calls`, `join`, `hooks`: what each API call does and answers
//! - `book`, `meeting`: what a server remembers, and how it is told
//! - `faults`, `raw`: what can go wrong, above and below HTTP
//! - `record`: counters and the last requests
//! - `server`: the state of one server, and [`SimServer`], the handle to it
//! - `recording`: archives of recordings, as a BBB server's post-publish script makes them
//! - `control`: the control door; `demo`: people who come and go
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
//! # The control door
//! A second listener, plain HTTP and JSON, at [`Sim::control_url`]. `{n}` counts
//! from 1; a meeting's id is percent-encoded.
//!
//! | request | |
//! | --- | --- |
//! | `GET /servers` | all servers: n, url, secret, meetings, people, counts, fault |
//! | `GET /servers/{n}` | one of them |
//! | `POST /servers/{n}/fault` | a [`Fault`]: `{"kind":"slow","ms":500,"calls":["create"],"times":3,"delay_ms":0}`; only `kind` and its own numbers are needed |
//! | `GET`, `DELETE /servers/{n}/fault` | the faults in force; none from now on |
//! | `POST /servers/{n}/restart` | comes back empty |
//! | `POST /servers/{n}/clock` | `{"advance_ms":60000}`: its clock goes forward |
//! | `GET`, `DELETE /servers/{n}/requests` | the last 100 requests as they came; none of them |
//! | `GET /servers/{n}/meetings` | the meetings with their people |
//! | `POST /servers/{n}/meetings` | `{"id":"m","name":"M","people":5}`: a meeting that no create made; with `"count":100` as many, `m-1`, `m-2`, … |
//! | `GET /servers/{n}/meetings/{id}` | one meeting |
//! | `POST /servers/{n}/meetings/{id}/people` | `{"add":5}` or `{"remove":2}` |
//! | `POST /servers/{n}/meetings/{id}/breakouts` | `{"add":3,"free_join":false}` |
//! | `POST /servers/{n}/meetings/{id}/end` | as a moderator would |
//! | `POST /servers/{n}/meetings/{id}/forget` | as if it had never been created |
//!
//! Answers are `{"ok":true}` or what was asked for; 400 and 404 come with
//! `{"error":…}`. The kinds of faults are those of [`FaultKind`], in snake_case.
//! The door asks for no password: it is for tests and demos.

mod calls;
mod control;
mod counters;
mod demo;
mod faults;
mod handle;
mod meeting;
mod net;
mod protocol;
mod recording;
mod registry;
mod request_log;
mod server;
mod service;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::{fmt, io, thread};

pub use counters::Counts;
pub use faults::{Fault, FaultKind};
pub use handle::SimServer;
pub use meeting::{MeetingView, PersonView};
pub use recording::{Packing, Recording, RecordingFormat};
pub use request_log::RawRequest;

use control::Control;
use net::sockets;
use net::worker::Worker;
use server::{Making, Server};

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// How many servers; at least one.
    pub servers: usize,
    /// The address that all of them, and the control door, listen on.
    pub bind: IpAddr,
    /// The first server's port; the others follow. 0: free ports, unrelated.
    pub first_port: u16,
    /// The secret of all servers; `None`: a random one each.
    pub secret: Option<String>,
    /// The control door's port; 0: a free one.
    pub control_port: u16,
    /// Worker threads; at least one.
    pub threads: usize,
    /// The bbbVersion that index reports.
    pub version: String,
    /// For demos: about so many people on each server, in meetings of about
    /// eight, who come and go. 0: empty servers.
    pub people: u32,
    /// Whether the last hundred requests of each server are kept. Costs about
    /// a microsecond a request.
    pub record_requests: bool,
    /// Whether each failed checksum is logged as a warning.
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
            version: "3.0.9".into(),
            people: 0,
            record_requests: true,
            log_checksum_failures: false,
        }
    }
}

/// Running servers. Dropping it stops them, closes their connections and frees
/// their ports before it returns.
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
    /// Starts the servers on threads of their own; when this returns they
    /// accept connections. May be called inside or outside any runtime.
    ///
    /// # Errors
    /// A port that is taken or out of range, or no threads to be had.
    pub fn start(config: SimConfig) -> io::Result<Sim> {
        let mut sim =
            Sim { servers: Arc::from([]), control_url: String::new(), control: None, workers: Vec::new() };
        // From here on an error drops `sim`, which stops what has begun.
        for n in 0..config.threads.max(1) {
            sim.workers.push(Worker::start(format!("sim-{n}"))?);
        }
        let workers: Vec<Worker> = sim.workers.iter().map(|(w, _)| w.clone()).collect();
        let mut servers = Vec::new();
        for n in 1..=config.servers.max(1) {
            let server = Arc::new(Server::new(Making {
                n,
                port: sockets::reserve(SocketAddr::new(config.bind, port(&config, n)?))?,
                secret: config.secret.clone().unwrap_or_else(|| calls::random_word(40)),
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
        sim.control_url = format!("http://{}", server::reachable(control.address));
        sim.control = Some(control);
        Ok(sim)
    }

    /// The servers, in order.
    pub fn servers(&self) -> &[SimServer] {
        &self.servers
    }

    /// Where the control door is: `http://127.0.0.1:PORT`.
    pub fn control_url(&self) -> String {
        self.control_url.clone()
    }

    /// Stops all servers. Dropping does the same.
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

fn port(config: &SimConfig, n: usize) -> io::Result<u16> {
    if config.first_port == 0 {
        return Ok(0);
    }
    u16::try_from(usize::from(config.first_port) + n - 1).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("server {n} would have a port above 65535"))
    })
}
