//! Where meetings run, remembered for as long as Redis says that nothing has changed.
//!
//! Client tracking (RESP3, Redis 6 and later): the connection that read a record is told when the
//! record is written, expires or goes. A lookup that is remembered costs no round trip. Only what
//! was found is remembered; what a lost connection had been promised is forgotten with it.
//!
//! Of what a script reads, Redis before 7.2 watches only the keys that the caller has named. The
//! caller knows the key of the meeting, not yet that of its server: a server that is new to this
//! thread is read once more, by itself, while the request goes on with what the script has told.

use super::connection::{Store, StoreError, StoreResult};
use super::keys::{Keys, MeetingKey};
use super::outcomes::FindOutcome;
use super::servers::ServerRef;
use lru::LruCache;
use redis::{ErrorKind, Pipeline, PushInfo, PushKind, ServerErrorKind, Value};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::debug;

/// Meetings remembered by one thread.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A connection that died without a word promises nothing; nothing is remembered longer than this.
const MAX_AGE: Duration = Duration::from_secs(30);

/// What one connection was told, and has not been told to forget.
pub(super) struct Lookups {
    keys: Keys,
    usable: AtomicBool,
    book: Mutex<Book>,
}

struct Book {
    /// Grows with everything forgotten: an answer that was on its way meanwhile is not noted.
    edition: u64,
    meetings: LruCache<MeetingKey, (Arc<str>, Instant)>,
    /// None: being read.
    servers: HashMap<Arc<str>, Option<Arc<ServerRef>>>,
}

impl Lookups {
    /// `usable`: the connection speaks RESP3.
    pub(super) fn new(keys: Keys, usable: bool) -> Lookups {
        let book = Book { edition: 0, meetings: LruCache::new(CAPACITY), servers: HashMap::new() };
        Lookups { keys, usable: AtomicBool::new(usable), book: Mutex::new(book) }
    }

    /// What Redis, or the connection, has to say.
    pub(super) fn told(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(names)) => names.iter().for_each(|name| self.forget(name)),
                // Everything was flushed.
                _ => self.book().clear(),
            },
            PushKind::Disconnection => self.book().clear(),
            _ => {}
        }
    }

    fn forget(&self, name: &Value) {
        let mut book = self.book();
        let name = match name {
            Value::BulkString(name) => std::str::from_utf8(name).ok(),
            Value::SimpleString(name) => Some(name.as_str()),
            _ => None,
        };
        if let Some(meeting) = name.and_then(|name| self.keys.meeting_of(name)) {
            book.edition += 1;
            book.meetings.pop(&meeting);
        } else if let Some(server) = name.and_then(|name| self.keys.server_of(name)) {
            book.edition += 1;
            book.servers.remove(server);
        } else {
            book.clear();
        }
    }

    fn look_up(&self, meeting: &MeetingKey) -> Result<Arc<ServerRef>, u64> {
        let mut book = self.book();
        let edition = book.edition;
        let (server, noted) = book.meetings.get(meeting).ok_or(edition)?;
        if noted.elapsed() > MAX_AGE {
            return Err(edition);
        }
        let server = server.clone();
        book.servers.get(&server).cloned().flatten().ok_or(edition)
    }

    /// Notes where a meeting runs; true if that server has to be read.
    fn note(&self, edition: u64, meeting: &MeetingKey, server: &Arc<str>) -> bool {
        let mut book = self.book();
        if book.edition != edition {
            return false;
        }
        book.meetings.put(meeting.clone(), (server.clone(), Instant::now()));
        let unknown = !book.servers.contains_key(server);
        if unknown {
            book.servers.insert(server.clone(), None);
        }
        unknown
    }

    fn note_server(&self, edition: u64, server: &Arc<str>, at: Option<ServerRef>) {
        let mut book = self.book();
        match at {
            Some(at) if book.edition == edition => {
                book.servers.insert(server.clone(), Some(Arc::new(at)));
            }
            // To be read again by whoever needs it next.
            _ => {
                if matches!(book.servers.get(server), Some(None)) {
                    book.servers.remove(server);
                }
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn clear(&mut self) {
        self.edition += 1;
        self.meetings.clear();
        self.servers.clear();
    }
}

impl Store {
    /// Where a meeting runs, None if it is not recorded or its server has left the pool: from
    /// memory, or in one round trip as [`Store::find`] tells it.
    pub async fn locate(&self, meeting: &MeetingKey) -> StoreResult<Option<Arc<ServerRef>>> {
        let lookups = &self.lookups;
        if !lookups.usable.load(Relaxed) {
            return Ok(self.find(meeting, false).await?.server());
        }
        let edition = match lookups.look_up(meeting) {
            Ok(server) => return Ok(Some(server)),
            Err(edition) => edition,
        };
        match self.find_tracked(meeting).await {
            Ok(found) => {
                let at = found.server();
                if let Some(at) = &at {
                    let server: Arc<str> = at.id.as_str().into();
                    if lookups.note(edition, meeting, &server) {
                        tokio::spawn(self.clone().learn(server));
                    }
                }
                Ok(at)
            }
            // The script is not loaded yet, or this Redis does not track.
            Err(StoreError::Redis(error)) if !error.is_io_error() => {
                if error.kind() != ErrorKind::Server(ServerErrorKind::NoScript) {
                    debug!(%error, "no lookups are remembered");
                    lookups.usable.store(false, Relaxed);
                }
                Ok(self.find(meeting, false).await?.server())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a server's record, and asks to be told when it changes.
    async fn learn(self, server: Arc<str>) {
        let edition = self.lookups.book().edition;
        let at = self.server_tracked(&server).await;
        self.lookups.note_server(edition, &server, at.ok().flatten());
    }
}

/// Begins a pipeline: what its next command reads is tracked. Tracking is turned on each time, since
/// the connection may be a new one.
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

    fn at(id: &str) -> ServerRef {
        ServerRef { id: id.into(), url: format!("http://{id}"), secret: "s".into() }
    }

    fn lookups() -> Lookups {
        let lookups = Lookups::new(Keys::new("ns:"), true);
        for (meeting, server, new) in [("a", "x", true), ("b", "x", false), ("c", "y", true)] {
            let (edition, server) = (lookups.book().edition, server.into());
            assert_eq!(lookups.note(edition, &MeetingKey::of(meeting), &server), new);
            assert!(lookups.look_up(&MeetingKey::of(meeting)).is_ok() != new, "not before it is read");
            lookups.note_server(edition, &server, Some(at(&server)));
        }
        lookups
    }

    fn known(lookups: &Lookups) -> String {
        ["a", "b", "c"].into_iter().filter(|id| lookups.look_up(&MeetingKey::of(id)).is_ok()).collect()
    }

    fn invalidate(names: &[&str]) -> PushInfo {
        let names = names.iter().map(|name| Value::BulkString(name.as_bytes().to_vec())).collect();
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(names)] }
    }

    #[test]
    fn what_has_changed_is_forgotten_and_nothing_else() {
        let lookups = lookups();
        assert_eq!(known(&lookups), "abc");
        lookups.told(&invalidate(&["ns:meeting:a"]));
        assert_eq!(known(&lookups), "bc");
        lookups.told(&invalidate(&["ns:server:y"]));
        assert_eq!(known(&lookups), "b");
        lookups.told(&invalidate(&["ns:something else"]));
        assert_eq!(known(&lookups), "");
    }

    #[test]
    fn a_flush_and_a_lost_connection_forget_everything() {
        for push in [
            PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] },
            PushInfo { kind: PushKind::Disconnection, data: vec![] },
        ] {
            let lookups = lookups();
            lookups.told(&push);
            assert_eq!(known(&lookups), "");
        }
    }

    #[test]
    fn an_answer_that_something_overtook_is_not_noted() {
        let lookups = Lookups::new(Keys::new("ns:"), true);
        let meeting = MeetingKey::of("a");
        let edition = lookups.look_up(&meeting).unwrap_err();
        lookups.told(&invalidate(&["ns:meeting:a"]));
        assert!(!lookups.note(edition, &meeting, &"x".into()));
        assert_eq!(known(&lookups), "");

        let edition = lookups.look_up(&meeting).unwrap_err();
        assert!(lookups.note(edition, &meeting, &"x".into()));
        lookups.told(&invalidate(&["ns:server:x"]));
        lookups.note_server(edition, &"x".into(), Some(at("x")));
        assert_eq!(known(&lookups), "");
    }

    #[test]
    fn a_server_that_could_not_be_read_is_read_again() {
        let lookups = Lookups::new(Keys::new("ns:"), true);
        assert!(lookups.note(0, &MeetingKey::of("a"), &"x".into()));
        assert!(!lookups.note(0, &MeetingKey::of("b"), &"x".into()), "one reads it");
        lookups.note_server(0, &"x".into(), None);
        assert!(lookups.note(0, &MeetingKey::of("b"), &"x".into()));
    }
}
