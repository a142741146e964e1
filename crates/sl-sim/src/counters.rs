//! Counts the requests of one server, by call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::calls::Call;

/// Number of requests that one server received, by call and whatever the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All requests, including those outside the API.
    pub total: u64,
    /// index, the unsigned version call.
    pub index: u64,
    /// create, whatever its outcome.
    pub create: u64,
    /// create that made a meeting.
    pub create_new: u64,
    /// create that returned duplicateWarning.
    pub create_duplicate: u64,
    /// join, whatever its outcome.
    pub join: u64,
    /// join that added a participant.
    pub joined: u64,
    /// end.
    pub end: u64,
    /// isMeetingRunning.
    pub is_meeting_running: u64,
    /// getMeetingInfo.
    pub get_meeting_info: u64,
    /// getMeetings.
    pub get_meetings: u64,
    /// insertDocument.
    pub insert_document: u64,
    /// sendChatMessage.
    pub send_chat_message: u64,
    /// getRecordings.
    pub get_recordings: u64,
    /// hooks/create, hooks/destroy and hooks/list.
    pub hooks: u64,
    /// The page that join redirects to.
    pub page: u64,
    /// Anything else.
    pub unsupported: u64,
    /// Requests with a missing or wrong checksum.
    pub checksum_failures: u64,
    /// Requests that a fault applied to.
    pub faults: u64,
    /// Accepted TCP connections.
    pub connections: u64,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

macro_rules! define_counters {
    ($($field:ident),* $(,)?) => {
        /// [`Counts`], atomic.
        #[derive(Default)]
        pub(crate) struct Counters { $(pub(crate) $field: Counter),* }

        impl Counters {
            pub(crate) fn counts(&self) -> Counts {
                Counts { $($field: self.$field.0.load(Relaxed)),* }
            }
            pub(crate) fn reset(&self) {
                $(self.$field.0.store(0, Relaxed);)*
            }
        }
    };
}

define_counters!(
    total,
    index,
    create,
    create_new,
    create_duplicate,
    join,
    joined,
    end,
    is_meeting_running,
    get_meeting_info,
    get_meetings,
    insert_document,
    send_chat_message,
    get_recordings,
    hooks,
    page,
    unsupported,
    checksum_failures,
    faults,
    connections,
);

impl Counters {
    /// Counts one request to `call`.
    pub(crate) fn count_request(&self, call: Call) {
        self.total.increment();
        match call {
            Call::Index => &self.index,
            Call::Create => &self.create,
            Call::Join => &self.join,
            Call::End => &self.end,
            Call::IsMeetingRunning => &self.is_meeting_running,
            Call::GetMeetingInfo => &self.get_meeting_info,
            Call::GetMeetings => &self.get_meetings,
            Call::InsertDocument => &self.insert_document,
            Call::SendChatMessage => &self.send_chat_message,
            Call::GetRecordings => &self.get_recordings,
            Call::HooksCreate | Call::HooksDestroy | Call::HooksList => &self.hooks,
            Call::ClientPage => &self.page,
            Call::GetJoinUrl
            | Call::LearningDashboard
            | Call::Stuns
            | Call::SignOut
            | Call::GetSessions
            | Call::Unsupported
            | Call::OutsideApi => &self.unsupported,
        }
        .increment();
    }
}
