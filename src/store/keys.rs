//! The only place in Rust where a Redis key is spelled. `lua/README.md` has the whole table.

use crate::bbb::meeting_id;
use redis::{RedisWrite, ToRedisArgs};
use std::fmt;
use std::sync::Arc;

/// Spells keys under a prefix: REDIS_NAMESPACE and a colon, or nothing.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// `prefix` as in [`crate::config::RedisConfig::prefix`].
    pub fn new(prefix: &str) -> Keys {
        Keys { prefix: prefix.into() }
    }

    /// `KEYS[1]` of every script.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Set of server ids.
    pub fn servers(&self) -> String {
        self.key("servers")
    }

    /// Hash: one server.
    pub fn server(&self, id: &str) -> String {
        self.key2("server:", id)
    }

    /// Set of ids of enabled servers.
    pub fn server_enabled(&self) -> String {
        self.key("server_enabled")
    }

    /// Sorted set: id → load of candidates.
    pub fn server_load(&self) -> String {
        self.key("server_load")
    }

    /// Sorted set: id → load of cordoned servers.
    pub fn cordoned_server_load(&self) -> String {
        self.key("cordoned_server_load")
    }

    /// Set of meeting keys.
    pub fn meetings(&self) -> String {
        self.key("meetings")
    }

    /// Hash: one meeting.
    pub fn meeting(&self, meeting: &MeetingKey) -> String {
        self.key2("meeting:", &meeting.0)
    }

    /// The meeting whose record this key is, if it is one.
    pub(super) fn meeting_of(&self, key: &str) -> Option<MeetingKey> {
        key.strip_prefix(&*self.prefix)?.strip_prefix("meeting:").map(MeetingKey::of)
    }

    /// The server whose record this key is, if it is one.
    pub(super) fn server_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&*self.prefix)?.strip_prefix("server:")
    }

    /// Hash, ours: what polls found out about a server.
    pub fn server_notes(&self, id: &str) -> String {
        self.key2("sl:server:", id)
    }

    /// Sorted set, ours: meetings recorded on a server.
    pub fn server_meetings(&self, id: &str) -> String {
        self.key2("sl:server_meetings:", id)
    }

    /// Hash, ours: what polls found out about a meeting.
    pub fn meeting_notes(&self, meeting: &MeetingKey) -> String {
        self.key2("sl:meeting:", &meeting.0)
    }

    /// Set, ours: servers whose last poll or request failed.
    pub fn suspects(&self) -> String {
        self.key("sl:suspects")
    }

    /// String, ours: position of the next sweep.
    pub fn sweep_cursor(&self) -> String {
        self.key("sl:sweep_cursor")
    }

    /// String, ours: the key of the marks, 64 hex digits.
    pub fn mark_key(&self) -> String {
        self.key("sl:mark_key")
    }

    /// String with a TTL, ours: exists during a rebuild.
    pub fn rebuild(&self) -> String {
        self.key("sl:rebuild")
    }

    /// Sorted set, ours: servers whose meetings are unknown.
    pub fn unpolled(&self) -> String {
        self.key("sl:unpolled")
    }

    /// String with a TTL, ours: the replica that polls.
    pub fn poll_lease(&self) -> String {
        self.key("sl:poll_lease")
    }

    /// String, ours: when the last round of polls began, ms.
    pub fn poll_round(&self) -> String {
        self.key("sl:poll_round")
    }

    /// Hash, ours: exists while more than half of the pool does not answer.
    pub fn brake(&self) -> String {
        self.key("sl:brake")
    }

    /// Hash with a TTL, ours: warnings of the last round of polls.
    pub fn warnings(&self) -> String {
        self.key("sl:warnings")
    }

    /// String with a TTL, ours: a server whose figures another program has changed.
    pub fn foreign_poller(&self) -> String {
        self.key("sl:foreign_poller")
    }

    /// List, ours: entries that must reach Postgres.
    pub fn outbox(&self) -> String {
        self.key("sl:outbox")
    }

    /// String with a TTL: the protected recording that a link gives access to.
    pub fn playback_token(&self, token: &str) -> String {
        self.key2("protector_token_", token)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn key2(&self, name: &str, id: &str) -> String {
        format!("{}{name}{id}", self.prefix)
    }
}

/// Identifies a meeting in Redis. Without tenancy its meetingID, as in Scalelite; a tenant's meetings will
/// get keys of their own here, so that equal meetingIDs do not collide.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeetingKey(String);

impl MeetingKey {
    /// The key of a meetingID without tenancy. Spaces around the id are not part of it.
    pub fn of(meeting_id: &str) -> MeetingKey {
        MeetingKey(meeting_id::trim(meeting_id).to_owned())
    }

    /// Whether it may be a meeting's internal id: then the scripts look for the meeting by that, if there is no record
    /// of this key.
    pub(super) fn may_be_internal(&self) -> bool {
        meeting_id::may_be_internal(&self.0)
    }

    /// As Redis has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MeetingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToRedisArgs for MeetingKey {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg(self.0.as_bytes());
    }
}
