//! Counters of one server's requests, by call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::calls::Call;

/// How many requests one server got, by call, whatever it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Every request, the ones not under the API too.
    pub total: u64,
    /// The unsigned version call.
    pub index: u64,
    /// create, all of them.
    pub create: u64,
    /// creates that made a meeting.
    pub create_new: u64,
    /// creates answered with duplicateWarning.
    pub create_duplicate: u64,
    /// join, all of them.
    pub join: u64,
    /// joins that put somebody into a meeting.
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
    /// hooks/create, hooks/destroy and hooks/list together.
    pub hooks: u64,
    /// Views of the page behind a join.
    pub page: u64,
    /// Anything else.
    pub unsupported: u64,
    /// Requests whose checksum was missing or wrong.
    pub checksum_failures: u64,
    /// Requests that met a fault.
    pub faults: u64,
    /// TCP connections accepted.
    pub connections: u64,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

macro_rules! tally {
    ($($field:ident),* $(,)?) => {
        /// [`Counts`] while counting.
        #[derive(Default)]
        pub(crate) struct Tally { $(pub(crate) $field: Counter),* }

        impl Tally {
            pub(crate) fn counts(&self) -> Counts {
                Counts { $($field: self.$field.0.load(Relaxed)),* }
            }
            pub(crate) fn reset(&self) {
                $(self.$field.0.store(0, Relaxed);)*
            }
        }
    };
}

tally!(
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

impl Tally {
    /// Counts a request to `call`.
    pub(crate) fn request(&self, call: Call) {
        self.total.one();
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
            Call::Page => &self.page,
            Call::Unsupported | Call::Elsewhere => &self.unsupported,
        }
        .one();
    }
}
