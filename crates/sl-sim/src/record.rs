//! What a server remembers of its requests: how many, and the last of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use hyper::http::request::Parts;
use serde::Serialize;

use super::calls::Call;

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
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn one(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

macro_rules! tally {
    ($($field:ident),* $(,)?) => {
        /// [`Counts`] while counting.
        #[derive(Default)]
        pub(super) struct Tally { $(pub(super) $field: Counter),* }

        impl Tally {
            pub(super) fn counts(&self) -> Counts {
                Counts { $($field: self.$field.0.load(Relaxed)),* }
            }
            pub(super) fn reset(&self) {
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
    pub(super) fn request(&self, call: Call) {
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

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RawRequest {
    /// Its number on this server, from 1.
    pub number: u64,
    /// The method.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl RawRequest {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query as it came, without the question mark.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// How many requests are kept.
const KEPT: usize = 100;

/// The last requests, kept as hyper gave them: turned into text only when asked.
#[derive(Default)]
pub(super) struct Recent {
    kept: VecDeque<(Parts, Bytes)>,
    seen: u64,
}

impl Recent {
    pub(super) fn add(&mut self, parts: Parts, body: Bytes) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((parts, body));
        self.seen += 1;
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<RawRequest> {
        let first = self.seen - self.kept.len() as u64 + 1;
        self.kept
            .iter()
            .zip(first..)
            .map(|((parts, body), number)| RawRequest {
                number,
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                headers: parts
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                        (name.to_string(), value)
                    })
                    .collect(),
                body: String::from_utf8_lossy(body).into_owned(),
            })
            .collect()
    }
}
