//! A cache of where meetings run, valid until Redis reports a change.
//!
//! Client tracking (RESP3, Redis 6 and later): the connection that read a record gets a push when the record
//! is written, expires or is deleted. A cached location costs no round trip. Only meetings that were found
//! are cached, and everything is evicted when the connection is lost, since its pushes are lost with it.
//!
//! Of the keys that a script reads, Redis before 7.2 tracks only those that the caller has named. The caller
//! knows the key of the meeting, but not yet that of its server: a server that is new to this thread is read
//! once more, by itself, while the request continues with what the script has returned.

use super::connection::{Store, StoreError, StoreResult, is_rejected};
use super::keys::{Keys, MeetingKey};
use super::model::ServerRef;
use super::placement::FindOutcome;
use lru::LruCache;
use redis::{Pipeline, PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::debug;

/// Meetings cached by one thread.
const MAX_MEETINGS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Nothing is cached longer than this: a connection may die without notice, and then sends no pushes.
const MAX_AGE: Duration = Duration::from_secs(30);

/// What one connection has read and Redis has not invalidated.
pub(super) struct LocationCache {
    keys: Keys,
    enabled: AtomicBool,
    entries: Mutex<Entries>,
}

struct Entries {
    /// Grows with every invalidation: a reply that was under way meanwhile is not cached.
    version: u64,
    meetings: LruCache<MeetingKey, (Arc<str>, Instant)>,
    /// None: being read.
    servers: HashMap<Arc<str>, Option<Arc<ServerRef>>>,
}

impl LocationCache {
    /// `enabled`: the connection speaks RESP3.
    pub(super) fn new(keys: Keys, enabled: bool) -> LocationCache {
        let entries = Entries { version: 0, meetings: LruCache::new(MAX_MEETINGS), servers: HashMap::new() };
        LocationCache { keys, enabled: AtomicBool::new(enabled), entries: Mutex::new(entries) }
    }

    /// Handles a push of Redis or of the connection.
    pub(super) fn on_push(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(keys)) => keys.iter().for_each(|key| self.invalidate(key)),
                // Everything was flushed.
                _ => self.entries().clear(),
            },
            PushKind::Disconnection => self.entries().clear(),
            _ => {}
        }
    }

    fn invalidate(&self, key: &Value) {
        let mut entries = self.entries();
        let key = match key {
            Value::BulkString(key) => std::str::from_utf8(key).ok(),
            Value::SimpleString(key) => Some(key.as_str()),
            _ => None,
        };
        if let Some(meeting) = key.and_then(|key| self.keys.meeting_of(key)) {
            entries.version += 1;
            entries.meetings.pop(&meeting);
        } else if let Some(server) = key.and_then(|key| self.keys.server_of(key)) {
            entries.version += 1;
            entries.servers.remove(server);
        } else {
            entries.clear();
        }
    }

    /// Evicts everything.
    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    /// The server of a meeting, or the version to insert it with.
    fn get(&self, meeting: &MeetingKey) -> Result<Arc<ServerRef>, u64> {
        let mut entries = self.entries();
        let version = entries.version;
        let (server, inserted) = entries.meetings.get(meeting).ok_or(version)?;
        if inserted.elapsed() > MAX_AGE {
            return Err(version);
        }
        let server = server.clone();
        entries.servers.get(&server).cloned().flatten().ok_or(version)
    }

    /// Caches where a meeting runs; true if the caller must read that server.
    fn insert_meeting(&self, version: u64, meeting: &MeetingKey, server: &Arc<str>) -> bool {
        let mut entries = self.entries();
        if entries.version != version {
            return false;
        }
        entries.meetings.put(meeting.clone(), (server.clone(), Instant::now()));
        let is_new = !entries.servers.contains_key(server);
        if is_new {
            entries.servers.insert(server.clone(), None);
        }
        is_new
    }

    fn insert_server(&self, version: u64, server: &Arc<str>, found: Option<ServerRef>) {
        let mut entries = self.entries();
        match found {
            Some(found) if entries.version == version => {
                entries.servers.insert(server.clone(), Some(Arc::new(found)));
            }
            // The next request that needs it reads it again.
            _ => {
                if matches!(entries.servers.get(server), Some(None)) {
                    entries.servers.remove(server);
                }
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn clear(&mut self) {
        self.version += 1;
        self.meetings.clear();
        self.servers.clear();
    }
}

impl Store {
    /// The server that a meeting runs on, None if it is not recorded or its server has left the pool. From
    /// the cache, or in one round trip like [`Store::find`].
    pub async fn locate(&self, meeting: &MeetingKey) -> StoreResult<Option<Arc<ServerRef>>> {
        let cache = &self.locations;
        // Redis would report changes of another key than the one cached.
        if !cache.enabled.load(Relaxed) || meeting.may_be_internal() {
            return Ok(self.find(meeting, false).await?.server());
        }
        let version = match cache.get(meeting) {
            Ok(server) => return Ok(Some(server)),
            Err(version) => version,
        };
        match self.find_tracked(meeting).await {
            Ok(found) => {
                let found = found.server();
                if let Some(found) = &found {
                    let server: Arc<str> = found.id.as_str().into();
                    if cache.insert_meeting(version, meeting, &server) {
                        tokio::spawn(self.clone().cache_server(server));
                    }
                }
                Ok(found)
            }
            // The script is not loaded yet, or this Redis does not track.
            Err(StoreError::Redis(error)) if !error.is_io_error() => {
                if is_rejected(&error) {
                    debug!(%error, "client tracking failed: meeting locations are not cached");
                    cache.enabled.store(false, Relaxed);
                }
                Ok(self.find(meeting, false).await?.server())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a server's record with tracking, and caches it.
    async fn cache_server(self, server: Arc<str>) {
        let version = self.locations.entries().version;
        let found = self.server_tracked(&server).await;
        self.locations.insert_server(version, &server, found.ok().flatten());
    }
}

/// Begins a pipeline: the keys that its next command reads are tracked. Tracking is turned on each time,
/// since the connection may be a new one.
pub(super) fn tracking() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN").ignore();
    pipeline.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
    pipeline
}

impl FindOutcome {
    fn server(self) -> Option<Arc<ServerRef>> {
        match self {
            FindOutcome::Found(server, _) => Some(Arc::new(server)),
            FindOutcome::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: &str) -> ServerRef {
        ServerRef { id: id.into(), url: format!("http://{id}"), secret: "s".into() }
    }

    /// Meetings a and b on server x, c on y.
    fn filled_cache() -> LocationCache {
        let cache = LocationCache::new(Keys::new("ns:"), true);
        for (meeting, id, is_new) in [("a", "x", true), ("b", "x", false), ("c", "y", true)] {
            let (version, id) = (cache.entries().version, id.into());
            assert_eq!(cache.insert_meeting(version, &MeetingKey::of(meeting), &id), is_new);
            assert!(cache.get(&MeetingKey::of(meeting)).is_ok() != is_new, "not before its server is read");
            cache.insert_server(version, &id, Some(server(&id)));
        }
        cache
    }

    fn cached(cache: &LocationCache) -> String {
        ["a", "b", "c"].into_iter().filter(|id| cache.get(&MeetingKey::of(id)).is_ok()).collect()
    }

    fn invalidation(keys: &[&str]) -> PushInfo {
        let keys = keys.iter().map(|key| Value::BulkString(key.as_bytes().to_vec())).collect();
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(keys)] }
    }

    #[test]
    fn an_invalidation_evicts_its_key_and_no_other() {
        let cache = filled_cache();
        assert_eq!(cached(&cache), "abc");
        cache.on_push(&invalidation(&["ns:meeting:a"]));
        assert_eq!(cached(&cache), "bc");
        cache.on_push(&invalidation(&["ns:server:y"]));
        assert_eq!(cached(&cache), "b");
        cache.on_push(&invalidation(&["ns:something else"]));
        assert_eq!(cached(&cache), "");
    }

    #[test]
    fn a_flush_and_a_lost_connection_evict_everything() {
        for push in [
            PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] },
            PushInfo { kind: PushKind::Disconnection, data: vec![] },
        ] {
            let cache = filled_cache();
            cache.on_push(&push);
            assert_eq!(cached(&cache), "");
        }
    }

    #[test]
    fn a_reply_is_not_cached_after_an_invalidation_during_its_read() {
        let cache = LocationCache::new(Keys::new("ns:"), true);
        let meeting = MeetingKey::of("a");
        let version = cache.get(&meeting).unwrap_err();
        cache.on_push(&invalidation(&["ns:meeting:a"]));
        assert!(!cache.insert_meeting(version, &meeting, &"x".into()));
        assert_eq!(cached(&cache), "");

        let version = cache.get(&meeting).unwrap_err();
        assert!(cache.insert_meeting(version, &meeting, &"x".into()));
        cache.on_push(&invalidation(&["ns:server:x"]));
        cache.insert_server(version, &"x".into(), Some(server("x")));
        assert_eq!(cached(&cache), "");
    }

    #[test]
    fn a_server_that_could_not_be_read_is_read_again() {
        let cache = LocationCache::new(Keys::new("ns:"), true);
        assert!(cache.insert_meeting(0, &MeetingKey::of("a"), &"x".into()));
        assert!(!cache.insert_meeting(0, &MeetingKey::of("b"), &"x".into()), "only the first reads it");
        cache.insert_server(0, &"x".into(), None);
        assert!(cache.insert_meeting(0, &MeetingKey::of("b"), &"x".into()));
    }
}
