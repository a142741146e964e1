//! Recording-ready URLs on their way from a create to the index. They wait in Redis, so that a create does
//! not wait for Postgres and a Postgres that is away loses none.

use super::ready_urls::{self, ReadyUrl};
use crate::db::Database;
use crate::store::Store;
use std::time::Duration;
use tracing::{debug, error, warn};

/// So many are brought before it is looked whether callbacks are due.
const AT_ONCE: usize = 200;

/// Neither Redis nor Postgres takes a URL: it is offered to them for this long.
const INSISTENCE: u32 = 600;

/// Keeps a URL safe: in Redis, or in Postgres if Redis has just gone. Returns when it is, or when neither is
/// there; then it is tried on, for as long as this process lives. Must be called inside a runtime.
pub async fn keep(store: &Store, db: &Database, noted: ReadyUrl) {
    let Ok(text) = serde_json::to_string(&noted) else { return };
    let (store, db) = (store.clone(), db.clone());
    match store.add_to_outbox(&text).await {
        Ok(()) => {
            tokio::spawn(async move {
                if let Err(failure) = bring_one(&store, &db, text.as_bytes()).await {
                    debug!(failure, "a recording-ready URL waits in Redis");
                }
            });
        }
        Err(failure) => {
            if ready_urls::store(&db, &noted).await.is_err() {
                warn!(%failure, "neither Redis nor Postgres takes a recording-ready URL: trying on");
                tokio::spawn(insist(store, db, noted, text));
            }
        }
    }
}

async fn insist(store: Store, db: Database, noted: ReadyUrl, text: String) {
    for _ in 0..INSISTENCE {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if store.add_to_outbox(&text).await.is_ok() || ready_urls::store(&db, &noted).await.is_ok() {
            return;
        }
    }
    error!(meeting = noted.meeting_id, "a recording-ready URL is lost: neither Redis nor Postgres took it");
}

/// Brings what waits in Redis to the index, oldest first, for as long as it takes it.
pub async fn bring(store: &Store, db: &Database) {
    let Ok(waiting) = store.oldest_in_outbox(AT_ONCE).await else { return };
    for text in waiting {
        if let Err(failure) = bring_one(store, db, &text).await {
            return debug!(failure, "recording-ready URLs wait in Redis");
        }
    }
}

/// An error if it has to wait.
async fn bring_one(store: &Store, db: &Database, text: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<ReadyUrl>(text) {
        Ok(noted) => match ready_urls::store(db, &noted).await {
            Ok(()) => {}
            Err(failure) if failure.is_transient() => return Err(failure.to_string()),
            Err(failure) => {
                error!(%failure, meeting = noted.meeting_id, "the index refuses a recording-ready URL");
            }
        },
        Err(_) => error!("something in sl:outbox is none of ours: it goes"),
    }
    store.remove_from_outbox(text).await.map_err(|failure| failure.to_string())
}
