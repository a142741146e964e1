//! Lists of meeting records, for the commands that print them.

use super::connection::{Store, StoreResult};
use super::keys::MeetingKey;
use super::model::Meeting;

/// Meeting ids read in one SSCAN, approximately.
const PAGE_MEETINGS: usize = 1000;

impl Store {
    /// Every recorded meeting, sorted by id. Reads the whole set, a page at a time.
    pub async fn meetings(&self) -> StoreResult<Vec<Meeting>> {
        let mut found = Vec::new();
        let mut cursor = 0u64;
        loop {
            let mut scan = redis::cmd("SSCAN");
            scan.arg(self.keys.meetings()).arg(cursor).arg("COUNT").arg(PAGE_MEETINGS);
            let (next, page): (u64, Vec<String>) = self.command(&scan).await?;
            found.extend(self.records(&page).await?);
            if next == 0 {
                break;
            }
            cursor = next;
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        // SSCAN may return an element twice.
        found.dedup_by(|a, b| a.key == b.key);
        Ok(found)
    }

    /// One meeting's record.
    pub async fn meeting(&self, key: &MeetingKey) -> StoreResult<Option<Meeting>> {
        Ok(self.records(&[key.as_str().to_owned()]).await?.pop())
    }

    async fn records(&self, ids: &[String]) -> StoreResult<Vec<Meeting>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.hmget(
                self.keys.meeting(&MeetingKey::of(id)),
                &["server_id", "voice_bridge", "moderator_pw"],
            );
        }
        let records: Vec<[Option<String>; 3]> = self.pipeline(&pipeline).await?;
        Ok(ids
            .iter()
            .zip(records)
            .filter_map(|(id, [server_id, voice_bridge, moderator_pw])| {
                Some(Meeting {
                    key: MeetingKey::of(id),
                    server_id: server_id?,
                    voice_bridge: voice_bridge.unwrap_or_default(),
                    moderator_pw: moderator_pw.unwrap_or_default(),
                })
            })
            .collect())
    }
}
