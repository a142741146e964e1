//! The outbox: entries that must reach Postgres and may have to wait for it, oldest first.

use super::connection::{Store, StoreResult};

impl Store {
    /// Appends an entry: one round trip.
    pub async fn add_to_outbox(&self, entry: &str) -> StoreResult<()> {
        let mut push = redis::cmd("RPUSH");
        push.arg(self.keys.outbox()).arg(entry);
        self.command::<u64>(&push).await.map(drop)
    }

    /// The oldest entries, at most `limit`.
    pub async fn oldest_in_outbox(&self, limit: usize) -> StoreResult<Vec<Vec<u8>>> {
        let mut range = redis::cmd("LRANGE");
        range.arg(self.keys.outbox()).arg(0).arg(limit as i64 - 1);
        self.command(&range).await
    }

    /// Removes an entry that has reached Postgres, with all copies of it.
    pub async fn remove_from_outbox(&self, entry: &[u8]) -> StoreResult<()> {
        let mut remove = redis::cmd("LREM");
        remove.arg(self.keys.outbox()).arg(0).arg(entry);
        self.command::<u64>(&remove).await.map(drop)
    }
}
