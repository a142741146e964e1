//! [`SimServer`]: the handle that tests and the control API use.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::counters::Counts;
use crate::faults::{Fault, FaultList};
use crate::meeting::MeetingView;
use crate::populate;
use crate::protocol::checksum;
use crate::registry::Registry;
use crate::request_log::RecordedRequest;
use crate::server::{Server, lock};
use crate::version::BbbVersion;

/// A simulated server. Clones are cheap and refer to the same server. It responds while its [`Sim`](crate::Sim)
/// runs.
#[derive(Clone)]
pub struct SimServer(pub(crate) Arc<Server>);

impl fmt::Debug for SimServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimServer {} at {}", self.0.number, self.url())
    }
}

impl SimServer {
    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.0.number
    }

    /// `http://127.0.0.1:PORT/bigbluebutton/api`, the URL to add to a pool.
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

    /// The full URL of `call` (`create`, `hooks/list` …), signed with SHA-256. `query` must be encoded.
    pub fn signed_url(&self, call: &str, query: &str) -> String {
        let checksum = checksum::sign(call, query, &self.0.secret);
        let and = if query.is_empty() { "" } else { "&" };
        format!("{}/{call}?{query}{and}checksum={checksum}", self.url())
    }

    /// Replaces all faults with this one. It applies when this returns, also to open connections.
    pub fn set_fault(&self, fault: impl Into<Fault>) {
        self.0.update_faults(|faults| {
            faults.clear();
            faults.add(fault.into());
        });
    }

    /// Adds a fault; the first one that matches a request applies.
    pub fn add_fault(&self, fault: impl Into<Fault>) {
        self.0.update_faults(|faults| faults.add(fault.into()));
    }

    /// Removes all faults. The port accepts connections when this returns. Requests that hang keep hanging.
    pub fn clear_faults(&self) {
        self.0.update_faults(FaultList::clear);
    }

    /// The faults that are set.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.0.faults).list().to_vec()
    }

    /// Its meetings, oldest first.
    pub fn meetings(&self) -> Vec<MeetingView> {
        let now = self.0.now_ms();
        let mut registry = self.0.registry();
        registry.list_meetings(now).into_iter().map(|m| m.view()).collect()
    }

    /// One meeting, by its meetingID or its internal id.
    pub fn meeting(&self, meeting_id: &str) -> Option<MeetingView> {
        let now = self.0.now_ms();
        self.0.registry().meeting(meeting_id, now).map(|m| m.view())
    }

    /// The numbers of meetings and of participants: cheaper than [`meetings`](SimServer::meetings) when there are
    /// many.
    pub fn totals(&self) -> (usize, usize) {
        self.0.registry().totals()
    }

    /// Number of requests received, by call.
    pub fn counts(&self) -> Counts {
        self.0.counters.counts()
    }

    /// Sets all counts to zero.
    pub fn reset_counts(&self) {
        self.0.counters.reset();
    }

    /// Creates a meeting without a request. False if the id is taken.
    pub fn create_meeting(&self, meeting_id: &str, name: &str) -> bool {
        populate::create_meeting(&self.0, meeting_id, name)
    }

    /// Adds `count` generated participants to a meeting, every third with a camera. False if the meeting does not
    /// exist.
    pub fn add_people(&self, meeting_id: &str, count: usize) -> bool {
        populate::add_people(&self.0, meeting_id, count)
    }

    /// Adds a participant with this name and customdata, neither of them checked. False if the meeting does not
    /// exist.
    pub fn add_person(&self, meeting_id: &str, full_name: &str, customdata: &[(&str, &str)]) -> bool {
        populate::add_person(&self.0, meeting_id, full_name, customdata)
    }

    /// Removes up to `count` participants from a meeting, the newest first. False if the meeting does not exist.
    pub fn remove_people(&self, meeting_id: &str, count: usize) -> bool {
        let now = self.0.now_ms();
        let mut registry = self.0.registry();
        let Some(meeting) = registry.meeting(meeting_id, now) else {
            return false;
        };
        let remaining = meeting.people.len().saturating_sub(count);
        meeting.people.truncate(remaining);
        true
    }

    /// Creates `rooms` breakout rooms of a meeting and returns their meetingIDs; none if the meeting does not exist.
    pub fn add_breakouts(&self, meeting_id: &str, rooms: u32, free_join: bool) -> Vec<String> {
        let now = self.0.now_ms();
        self.0.registry().add_breakouts(meeting_id, rooms, free_join, now)
    }

    /// Ends a meeting and its breakout rooms, as a moderator does. False if the meeting does not exist.
    pub fn end_meeting(&self, meeting_id: &str) -> bool {
        self.0.registry().end(meeting_id)
    }

    /// Removes this meeting only, as if it had never been created.
    pub fn forget_meeting(&self, meeting_id: &str) -> bool {
        self.0.registry().remove(meeting_id).is_some()
    }

    /// Removes all meetings, not the hooks.
    pub fn forget_all(&self) {
        self.0.registry().remove_all();
    }

    /// Loses all meetings and hooks, as in a reboot. Faults, counts and recorded requests stay.
    pub fn restart(&self) {
        *self.0.registry() = Registry::default();
    }

    /// Moves this server's clock forward, so that a test need not wait for a duration to pass.
    pub fn advance_clock(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.0.clock_offset_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Moves this server's clock back, so that what it creates now is old once the clock is advanced again.
    pub fn rewind_clock(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.0.clock_offset_ms.fetch_sub(ms, Ordering::Relaxed);
    }

    /// The last 100 requests, oldest first, including those that a fault applied to.
    pub fn last_requests(&self) -> Vec<RecordedRequest> {
        lock(&self.0.request_log).list()
    }

    /// The last request to this call (`create`, `hooks/list` …).
    pub fn last_request(&self, call: &str) -> Option<RecordedRequest> {
        let path = format!("/bigbluebutton/api/{call}");
        self.last_requests().into_iter().rfind(|r| r.path() == path)
    }

    /// Clears the recorded requests.
    pub fn clear_requests(&self) {
        lock(&self.0.request_log).clear();
    }

    /// Changes its BBB version, as an upgrade does: a pool of several versions.
    pub fn set_version(&self, version: BbbVersion) {
        *lock(&self.0.version) = version;
    }

    /// Turns the recording of requests on or off.
    pub fn record_requests(&self, on: bool) {
        self.0.records_requests.store(on, Ordering::Relaxed);
    }
}
