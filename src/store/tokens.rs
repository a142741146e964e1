//! Tokens for protected recordings: in links that getRecordings gives out, used up by the first who
//! comes with one.

use super::connection::{Store, StoreResult};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// What a token gives access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybackToken {
    /// 64 hex digits.
    pub token: String,
    /// Of which recording.
    pub record_id: String,
    /// Which format of it.
    pub format: String,
}

/// What stands in Redis; Scalelite writes the same.
#[derive(Deserialize)]
struct Access {
    record_id: String,
    format: String,
}

impl Store {
    /// Makes tokens work for so long: one round trip.
    pub async fn put_playback_tokens(&self, tokens: &[PlaybackToken], lifetime: Duration) -> StoreResult<()> {
        let mut pipeline = redis::pipe();
        for token in tokens {
            let access = json!({ "record_id": token.record_id, "format": token.format });
            pipeline
                .set_ex(self.keys.playback_token(&token.token), access.to_string(), lifetime.as_secs())
                .ignore();
        }
        self.pipeline(&pipeline).await
    }

    /// Uses a token up: of any number who come with it, at any replicas, one gets what it gives access to.
    /// One round trip, in a form that every Redis has (GETDEL came with 6.2). Asked twice after a lost
    /// connection, the token may be gone without having been of use: never the other way round.
    pub async fn take_playback_token(&self, token: &str) -> StoreResult<Option<PlaybackToken>> {
        let key = self.keys.playback_token(token);
        let mut taking = redis::pipe();
        taking.atomic().get(&key).del(&key).ignore();
        let (stored,): (Option<String>,) = self.pipeline(&taking).await?;
        let access = stored.and_then(|text| serde_json::from_str::<Access>(&text).ok());
        Ok(access.map(|access| PlaybackToken {
            token: token.to_owned(),
            record_id: access.record_id,
            format: access.format,
        }))
    }
}
