//! One simulated server: its state, and the handle that tests hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use bytes::Bytes;
use hyper::http::request::Parts;
use socket2::Socket;

use super::book::Book;
use super::checksum;
use super::demo;
use super::faults::{Fault, Faults};
use super::meeting::MeetingView;
use super::net::{self, Worker};
use super::record::{Counts, RawRequest, Recent, Tally};

/// Locks, even after a panic elsewhere: the state is only counters and lists.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of one server, shared by its connections and its handles.
pub(super) struct Server {
    /// From 1.
    pub(super) n: usize,
    pub(super) address: SocketAddr,
    /// `host:port` for URLs that lead here.
    pub(super) authority: String,
    pub(super) secret: String,
    /// What index reports as bbbVersion.
    pub(super) version: String,
    pub(super) log_checksum_failures: bool,
    pub(super) tally: Tally,
    book: Mutex<Book>,
    /// Fast answer to "is any fault set": requests look at the list only then.
    faulty: AtomicBool,
    faults: Mutex<Faults>,
    recording: AtomicBool,
    recent: Mutex<Recent>,
    /// Milliseconds that this server's clock is ahead of the real one.
    ahead_ms: AtomicI64,
    /// Bound and never listening: keeps the port ours while connections are
    /// refused. `None` once stopped.
    port: Mutex<Option<Socket>>,
    /// Copies of the listening sockets, to close them all at once.
    listening: Mutex<Vec<Socket>>,
    workers: Vec<Worker>,
}

/// What a [`Server`] is made of.
pub(super) struct Making {
    pub(super) n: usize,
    pub(super) port: Socket,
    pub(super) secret: String,
    pub(super) version: String,
    pub(super) record_requests: bool,
    pub(super) log_checksum_failures: bool,
    pub(super) workers: Vec<Worker>,
}

impl Server {
    pub(super) fn new(making: Making) -> io::Result<Server> {
        let address = net::address_of(&making.port)?;
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
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Milliseconds since 1970 on this server's clock, the only one it reads.
    pub(super) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64 + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The fault that a request to `call` meets.
    pub(super) fn fault_for(&self, call: &str) -> Option<Fault> {
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

    pub(super) fn recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }

    pub(super) fn record(&self, parts: Parts, body: Bytes) {
        lock(&self.recent).add(parts, body);
    }

    /// Opens one listening socket per worker, unless they are open or the
    /// server has been stopped.
    pub(super) fn listen(self: &Arc<Server>) -> io::Result<()> {
        let port = lock(&self.port);
        let mut listening = lock(&self.listening);
        if port.is_none() || !listening.is_empty() {
            return Ok(());
        }
        let mut sockets = Vec::with_capacity(self.workers.len());
        for _ in &self.workers {
            sockets.push(net::listen(self.address)?);
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
    pub(super) fn stop(&self) {
        lock(&self.port).take();
        self.close();
    }

    fn change_faults(self: &Arc<Server>, change: impl FnOnce(&mut Faults)) {
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
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A simulated server. Cheap to clone; every clone is the same server. It
/// answers as long as its [`Sim`](super::Sim) runs.
#[derive(Clone)]
pub struct SimServer(pub(super) Arc<Server>);

impl fmt::Debug for SimServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimServer {} at {}", self.0.n, self.url())
    }
}

impl SimServer {
    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.0.n
    }

    /// `http://127.0.0.1:PORT/bigbluebutton/api`, as one would register it.
    pub fn url(&self) -> String {
        format!("http://{}/bigbluebutton/api", self.0.authority)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// Its secret.
    pub fn secret(&self) -> &str {
        &self.0.secret
    }

    /// A whole URL for `call` (`create`, `hooks/list` …), signed with SHA-256.
    /// `query` goes into it as it is.
    pub fn signed(&self, call: &str, query: &str) -> String {
        let checksum = checksum::sign(call, query, &self.0.secret);
        let and = if query.is_empty() { "" } else { "&" };
        format!("{}/{call}?{query}{and}checksum={checksum}", self.url())
    }

    /// Sets this fault in place of all others. When this returns the fault
    /// holds, for connections that are already open too.
    pub fn set_fault(&self, fault: impl Into<Fault>) {
        self.0.change_faults(|faults| {
            faults.clear();
            faults.add(fault.into());
        });
    }

    /// Adds a fault; of several, the first that matches a request is used.
    pub fn add_fault(&self, fault: impl Into<Fault>) {
        self.0.change_faults(|faults| faults.add(fault.into()));
    }

    /// Behaves again. When this returns the port accepts connections.
    /// Requests that hang go on hanging.
    pub fn clear_faults(&self) {
        self.0.change_faults(Faults::clear);
    }

    /// The faults still in force.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.0.faults).list().to_vec()
    }

    /// Its meetings, oldest first.
    pub fn meetings(&self) -> Vec<MeetingView> {
        let now = self.0.now_ms();
        let mut book = self.0.book();
        book.list(now).into_iter().map(|m| m.view()).collect()
    }

    /// One meeting.
    pub fn meeting(&self, meeting_id: &str) -> Option<MeetingView> {
        let now = self.0.now_ms();
        self.0.book().get(meeting_id, now).map(|m| m.view())
    }

    /// How many meetings and how many people it has: cheaper than
    /// [`meetings`](SimServer::meetings) when there are many.
    pub fn census(&self) -> (usize, usize) {
        self.0.book().census()
    }

    /// How many requests it got.
    pub fn counts(&self) -> Counts {
        self.0.tally.counts()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.0.tally.reset();
    }

    /// Creates a meeting as if from inside the server: no request, no checksum.
    /// False when the id is taken.
    pub fn create_meeting(&self, meeting_id: &str, name: &str) -> bool {
        demo::create(&self.0, meeting_id, name)
    }

    /// Puts `n` made-up people into a meeting, every third with a camera.
    /// False without that meeting.
    pub fn add_people(&self, meeting_id: &str, n: usize) -> bool {
        demo::add_people(&self.0, meeting_id, n)
    }

    /// Takes up to `n` people out of a meeting, last come first gone. False
    /// without that meeting.
    pub fn remove_people(&self, meeting_id: &str, n: usize) -> bool {
        let now = self.0.now_ms();
        let mut book = self.0.book();
        let Some(meeting) = book.get(meeting_id, now) else {
            return false;
        };
        let left = meeting.people.len().saturating_sub(n);
        meeting.people.truncate(left);
        true
    }

    /// Opens `rooms` breakout rooms in a meeting, and tells their meetingIDs;
    /// none without that meeting.
    pub fn add_breakouts(&self, meeting_id: &str, rooms: u32, free_join: bool) -> Vec<String> {
        let now = self.0.now_ms();
        self.0.book().add_breakouts(meeting_id, rooms, free_join, now)
    }

    /// Ends a meeting and its breakout rooms, as a moderator would. False
    /// without that meeting.
    pub fn end_meeting(&self, meeting_id: &str) -> bool {
        self.0.book().end(meeting_id)
    }

    /// Forgets this one meeting, as if it had never been created.
    pub fn forget_meeting(&self, meeting_id: &str) -> bool {
        self.0.book().remove(meeting_id).is_some()
    }

    /// Forgets all meetings; hooks stay.
    pub fn forget_all(&self) {
        self.0.book().forget_all();
    }

    /// Comes back empty, as after a reboot: no meetings, no hooks. Faults,
    /// counts and recorded requests stay.
    pub fn restart(&self) {
        *self.0.book() = Book::default();
    }

    /// Puts this server's clock forward, so that durations end without waiting.
    pub fn advance_clock(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.0.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// The last hundred requests, oldest first, also those that met a fault.
    pub fn last_requests(&self) -> Vec<RawRequest> {
        lock(&self.0.recent).list()
    }

    /// The newest request to this call (`create`, `hooks/list` …).
    pub fn last_request(&self, call: &str) -> Option<RawRequest> {
        let path = format!("/bigbluebutton/api/{call}");
        self.last_requests().into_iter().rfind(|r| r.path() == path)
    }

    /// Forgets the recorded requests.
    pub fn clear_requests(&self) {
        lock(&self.0.recent).clear();
    }

    /// Turns the recording of requests on or off.
    pub fn record_requests(&self, on: bool) {
        self.0.recording.store(on, Ordering::Relaxed);
    }
}
