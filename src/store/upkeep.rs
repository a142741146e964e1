//! What keeps the state in order: sweeps through records that have expired, and the index by tag.

use super::connection::{Store, StoreResult};
use super::scripts::{Reindex, Sweep, SweepIndex};

/// Records that one script sweeps, approximately.
const PAGE_RECORDS: u32 = 500;

/// Pages that a round of polls sweeps, so that a large pool takes several rounds.
const ROUND_PAGES: usize = 10;

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Meeting ids deleted because their record had expired.
    pub expired: u64,
    /// Records deleted because their server has left the pool.
    pub dropped: u64,
}

impl Store {
    /// Sweeps all meeting records, a page per script: see `lua/sweep.lua`. Deletes records whose server
    /// has left the pool.
    pub async fn sweep(&self) -> StoreResult<Swept> {
        let mut total = Swept::default();
        let mut cursor = "0".to_owned();
        loop {
            let (next, swept) = self.sweep_page(&cursor, true).await?;
            total.expired += swept.expired;
            total.dropped += swept.dropped;
            if next == "0" {
                break;
            }
            cursor = next;
        }
        self.sweep_indexes().await?;
        Ok(total)
    }

    /// Sweeps the next pages, some thousand records, from where the last call stopped. Drops no record.
    pub async fn sweep_some(&self) -> StoreResult<()> {
        let key = self.keys.sweep_cursor();
        let cursor: Option<String> = self.command(redis::cmd("GET").arg(&key)).await?;
        let (mut cursor, mut expired) = (cursor.unwrap_or_else(|| "0".to_owned()), 0);
        for _ in 0..ROUND_PAGES {
            let (next, swept) = self.sweep_page(&cursor, false).await?;
            expired += swept.expired;
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let _: () = self.command(redis::cmd("SET").arg(&key).arg(&cursor)).await?;
        if expired > 0 { self.sweep_indexes().await } else { Ok(()) }
    }

    /// Returns the next cursor.
    async fn sweep_page(&self, cursor: &str, drop_orphans: bool) -> StoreResult<(String, Swept)> {
        let mut reply = self.run(&Sweep { cursor, count: PAGE_RECORDS, drop_orphans }).await?;
        let (next, expired, _listed): (_, _, u64) = (reply.text()?, reply.number()?, reply.number()?);
        Ok((next, Swept { expired, dropped: reply.number()? }))
    }

    /// Deletes entries of records that have expired: see `lua/sweep_index.lua`.
    async fn sweep_indexes(&self) -> StoreResult<()> {
        for index in ["voice_bridges", "sl:internal_ids"] {
            let mut cursor = "0".to_owned();
            loop {
                let page = SweepIndex { index, cursor: &cursor, count: PAGE_RECORDS };
                cursor = self.run(&page).await?.text()?;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Rebuilds the index of candidates by tag (see `lua/reindex.lua`); returns the number of servers.
    pub async fn reindex(&self) -> StoreResult<u64> {
        self.run(&Reindex {}).await?.number()
    }
}
