//! What is on its way to Postgres and may have to wait for it, oldest first.

use super::connection::{Store, StoreResult};

impl Store {
    /// Puts something at its end: one round trip.
    pub async fn put_into_outbox(&self, text: &str) -> StoreResult<()> {
        let mut push = redis::cmd("RPUSH");
        push.arg(self.keys.outbox()).arg(text);
        self.command::<u64>(&push).await.map(drop)
    }

    /// The oldest that wait.
    pub async fn outbox(&self, most: usize) -> StoreResult<Vec<Vec<u8>>> {
        let mut range = redis::cmd("LRANGE");
        range.arg(self.keys.outbox()).arg(0).arg(most as i64 - 1);
        self.command(&range).await
    }

    /// This one has arrived; every copy of it goes.
    pub async fn take_from_outbox(&self, text: &[u8]) -> StoreResult<()> {
        let mut remove = redis::cmd("LREM");
        remove.arg(self.keys.outbox()).arg(0).arg(text);
        self.command::<u64>(&remove).await.map(drop)
    }
}
