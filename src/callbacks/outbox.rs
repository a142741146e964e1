//! Recording-ready URLs on their way from a create to Postgres. They wait in Redis, so that a create does not
//! wait for Postgres, and none is lost while Postgres is down.

use super::ready_urls::{self, ReadyUrl};
use crate::db::Database;
use crate::store::Store;
use crate::telemetry::permit_log;
use std::time::Duration;
use tracing::{debug, error, warn};

/// URLs moved to Postgres before the caller looks for due callbacks again.
const MAX_BATCH: usize = 200;

/// How often a URL is offered to Redis and Postgres again, a second apart, if neither accepts it.
const MAX_RETRIES: u32 = 600;

/// Stores a URL in Redis, or in Postgres if Redis has just failed. If both fail, returns and retries in the
/// background, for as long as this process lives. Must be called inside a runtime.
pub async fn enqueue(store: &Store, db: &Database, ready_url: ReadyUrl) {
    let Ok(text) = serde_json::to_string(&ready_url) else { return };
    let (store, db) = (store.clone(), db.clone());
    match store.add_to_outbox(&text).await {
        Ok(()) => {
            tokio::spawn(async move {
                if let Err(failure) = move_to_postgres(&store, &db, text.as_bytes()).await {
                    debug!(failure, "a recording-ready URL waits in Redis");
                }
            });
        }
        Err(failure) => {
            if ready_urls::store(&db, &ready_url).await.is_err() {
                if let Some(permit) = permit_log("recording-ready URLs", "") {
                    let suppressed = permit.suppressed;
                    warn!(
                        %failure, suppressed,
                        "neither Redis nor Postgres accepts a recording-ready URL: retrying"
                    );
                }
                tokio::spawn(enqueue_with_retry(store, db, ready_url, text));
            }
        }
    }
}

async fn enqueue_with_retry(store: Store, db: Database, ready_url: ReadyUrl, text: String) {
    for _ in 0..MAX_RETRIES {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if store.add_to_outbox(&text).await.is_ok() || ready_urls::store(&db, &ready_url).await.is_ok() {
            return;
        }
    }
    error!(
        meeting = ready_url.meeting_id,
        "lost a recording-ready URL: neither Redis nor Postgres accepted it"
    );
}

/// Moves URLs from Redis to Postgres, oldest first, until one has to wait.
pub async fn drain_outbox(store: &Store, db: &Database) {
    let Ok(waiting) = store.oldest_in_outbox(MAX_BATCH).await else { return };
    for text in waiting {
        if let Err(failure) = move_to_postgres(store, db, &text).await {
            return debug!(failure, "recording-ready URLs wait in Redis");
        }
    }
}

/// An error means that the URL stays in Redis.
async fn move_to_postgres(store: &Store, db: &Database, text: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<ReadyUrl>(text) {
        Ok(ready_url) => match ready_urls::store(db, &ready_url).await {
            Ok(()) => {}
            Err(failure) if failure.is_transient() => return Err(failure.to_string()),
            Err(failure) => {
                error!(
                    %failure,
                    meeting = ready_url.meeting_id,
                    "Postgres rejects a recording-ready URL: dropping it"
                );
            }
        },
        Err(_) => error!("dropping an unrecognised entry of sl:outbox"),
    }
    store.remove_from_outbox(text).await.map_err(|failure| failure.to_string())
}
