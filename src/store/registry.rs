//! What a thread remembers of the pool: the key of the marks and the servers, valid until Redis reports a change
//! (client tracking, as in `location_cache`).
//!
//! It is a cache, and a memory: if Redis has lost its data, the thread gives the key back to it, and knows which
//! servers may have meetings although they are not added again yet. A pool whose replicas all restart has no such
//! memory; then only the servers in Redis can be asked.

use super::connection::{Store, StoreError, StoreResult, is_rejected};
use super::keys::Keys;
use super::location_cache::tracking;
use super::marks::MarkKey;
use super::model::ServerRef;
use super::scripts::MarkKeyCall;
use crate::bbb::Secret;
use redis::{PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::{debug, warn};

/// The key is read again after this, whatever the pushes say.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The same without client tracking.
const MAX_AGE_UNTRACKED: Duration = Duration::from_secs(1);

/// How often reading is tried again while Redis fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Changes within this time are read once.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// A server that did not respond to a query for a meeting is not asked for another one within this time.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// Servers read in one pipeline.
const PAGE_SERVERS: usize = 500;

/// What one thread remembers.
pub(super) struct RegistryCache {
    keys: Keys,
    tracked: AtomicBool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Grows with every invalidation: a reply that was under way meanwhile is not cached.
    version: u64,
    key: Option<(MarkKey, Instant)>,
    /// The key that was valid last, also after Redis has lost it.
    last_key: Option<MarkKey>,
    servers: Vec<ServerRef>,
    /// Redis had lost its data when it was read last.
    was_lost: bool,
    /// The URLs of the servers that the pool had before, if this thread knew it then.
    lost_urls: Option<Vec<String>>,
    /// URLs of servers that did not respond recently.
    silent: HashMap<String, Instant>,
}

impl RegistryCache {
    /// `tracked`: the connection speaks RESP3.
    pub(super) fn new(keys: Keys, tracked: bool) -> RegistryCache {
        RegistryCache {
            keys,
            tracked: AtomicBool::new(tracked),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Handles a push of Redis or of the connection.
    pub(super) fn on_push(&self, push: &PushInfo) {
        let is_ours = match push.kind {
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(keys)) => keys.iter().any(|key| self.is_ours(key)),
                // Everything was flushed.
                _ => true,
            },
            PushKind::Disconnection => true,
            _ => false,
        };
        if is_ours {
            self.clear();
        }
    }

    /// The key and the servers must be read again; the last known ones are remembered.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.version += 1;
        state.key = None;
        self.changed.notify_one();
    }

    fn is_ours(&self, key: &Value) -> bool {
        let key = match key {
            Value::BulkString(key) => key.as_slice(),
            Value::SimpleString(key) => key.as_bytes(),
            _ => return false,
        };
        key == self.keys.mark_key().as_bytes() || key == self.keys.servers().as_bytes()
    }

    fn cached_key(&self) -> Option<MarkKey> {
        let state = self.state();
        let (key, read_at) = state.key.as_ref()?;
        let max_age = if self.tracked.load(Relaxed) { MAX_AGE } else { MAX_AGE_UNTRACKED };
        (read_at.elapsed() < max_age).then(|| key.clone())
    }

    /// Whether Redis, which has lost its data (`is_lost`), has all servers again that this thread remembers from
    /// before. False if it remembers none: another one may.
    fn has_all_again(&self, is_lost: bool, had_pool: bool, servers: &[ServerRef]) -> bool {
        let mut state = self.state();
        if !is_lost {
            state.lost_urls = None;
        } else if !state.was_lost && had_pool {
            state.lost_urls = Some(state.servers.iter().map(|known| known.url.clone()).collect());
        }
        state.was_lost = is_lost;
        let is_back = |url: &String| servers.iter().any(|server| server.url == *url);
        state.lost_urls.as_ref().is_some_and(|urls| urls.iter().all(is_back))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The key of the pool's marks: cached, or read from Redis, and created if Redis has none.
    pub async fn mark_key(&self) -> StoreResult<MarkKey> {
        match self.registry.cached_key() {
            Some(key) => Ok(key),
            // Boxed: the future of a create must stay small.
            None => Box::pin(self.read_registry()).await,
        }
    }

    /// Keeps the key and the servers up to date, so that no request waits for them. Ends never.
    pub async fn watch_registry(self) {
        loop {
            let pause = match self.read_registry().await {
                Ok(_) if self.registry.tracked.load(Relaxed) => MAX_AGE / 2,
                Ok(_) => MAX_AGE_UNTRACKED / 2,
                // Requests log it when Redis fails.
                Err(_) => RETRY_INTERVAL,
            };
            tokio::select! {
                () = self.registry.changed.notified() => tokio::time::sleep(SETTLE_TIME).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn read_registry(&self) -> StoreResult<MarkKey> {
        let (version, last_key, had_servers) = {
            let state = self.registry.state();
            (state.version, state.last_key.clone(), !state.servers.is_empty())
        };
        let (found, ids, lost) = self.registry_keys().await?;
        let found = found.as_deref().and_then(MarkKey::parse);
        let had_pool = last_key.is_some() && had_servers;
        let data_lost = had_pool && found != last_key;
        let (key, is_tracked) = match found {
            Some(key) if !data_lost => (key, true),
            found => {
                let offered = last_key.unwrap_or_else(MarkKey::random);
                let key = self.create_mark_key(&offered, had_pool).await?;
                if had_pool {
                    warn!("Redis has lost its data: add the servers of the pool again (docs/OPERATING.md)");
                }
                (key, found.is_some())
            }
        };
        let servers = self.server_refs(&ids).await?;
        if self.registry.has_all_again(data_lost || lost.is_some(), had_pool, &servers) {
            self.command::<u64>(redis::cmd("ZREM").arg(self.keys.unpolled()).arg("")).await?;
        }
        let mut state = self.registry.state();
        if data_lost || lost.is_some() {
            // Those that are not added again yet are remembered.
            state.servers.retain(|known| servers.iter().all(|server| server.url != known.url));
            state.servers.extend(servers);
        } else {
            state.servers = servers;
        }
        state.last_key = Some(key.clone());
        // A key that was missing when it was read is not tracked: it is read once more.
        if state.version == version && is_tracked {
            state.key = Some((key.clone(), Instant::now()));
        } else {
            self.registry.changed.notify_one();
        }
        Ok(key)
    }

    /// The key, the servers, and whether servers are missing; the first two are tracked.
    async fn registry_keys(&self) -> StoreResult<(Option<String>, Vec<String>, Option<f64>)> {
        let tracked = self.registry.tracked.load(Relaxed);
        let mut pipeline = if tracked { tracking() } else { redis::pipe() };
        pipeline.get(self.keys.mark_key());
        if tracked {
            pipeline.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
        }
        pipeline.smembers(self.keys.servers()).zscore(self.keys.unpolled(), "");
        match self.pipeline(&pipeline).await {
            // This Redis does not track.
            Err(StoreError::Redis(error)) if tracked && is_rejected(&error) => {
                debug!(%error, "client tracking failed: the key of the marks is read every second");
                self.registry.tracked.store(false, Relaxed);
                Box::pin(self.registry_keys()).await
            }
            result => result,
        }
    }

    /// See `lua/mark_key.lua`.
    async fn create_mark_key(&self, offered: &MarkKey, had_pool: bool) -> StoreResult<MarkKey> {
        let offered = offered.to_hex();
        let mut reply = self.run(&MarkKeyCall { offered: &offered, had_pool }).await?;
        MarkKey::parse(&reply.text()?).ok_or(reply.unexpected())
    }

    async fn server_refs(&self, ids: &[String]) -> StoreResult<Vec<ServerRef>> {
        let mut servers = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE_SERVERS) {
            let mut pipeline = redis::pipe();
            for id in page {
                pipeline.hmget(self.keys.server(id), &["url", "secret"]);
            }
            let records: Vec<(Option<String>, Option<String>)> = self.pipeline(&pipeline).await?;
            servers.extend(page.iter().zip(records).filter_map(|(id, (url, secret))| {
                let secret = Secret::from(secret.unwrap_or_default());
                Some(ServerRef { id: id.clone(), url: url?, secret })
            }));
        }
        Ok(servers)
    }

    /// The servers that may have a meeting without a record: those of the pool, and those that it had before
    /// Redis lost its data. Without those that did not respond recently.
    pub async fn servers_to_ask(&self) -> StoreResult<Vec<ServerRef>> {
        self.read_registry().await?;
        let mut state = self.registry.state();
        state.silent.retain(|_, since| since.elapsed() < SILENT_FOR);
        Ok(state.servers.iter().filter(|server| !state.silent.contains_key(&server.url)).cloned().collect())
    }

    /// A server did not respond to the query for a meeting.
    pub fn note_silent(&self, server: &ServerRef) {
        self.registry.state().silent.insert(server.url.clone(), Instant::now());
    }

    /// Whether a rebuild is on: polls adopt every meeting without a record.
    pub async fn is_rebuilding(&self) -> StoreResult<bool> {
        self.command(redis::cmd("EXISTS").arg(self.keys.rebuild())).await
    }
}
