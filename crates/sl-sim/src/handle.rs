//! [`SimServer`]: the handle that tests and the control API use.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::counters::Counts;
use crate::demo;
use crate::faults::{Fault, Faults};
use crate::meeting::MeetingView;
use crate::protocol::checksum;
use crate::registry::Book;
use crate::request_log::RawRequest;
use crate::server::{Server, lock};

/// A simulated server. Cheap to clone; every clone is the same server. It
/// answers as long as its [`Sim`](super::Sim) runs.
#[derive(Clone)]
pub struct SimServer(pub(crate) Arc<Server>);

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
