//! Tokens for protected recordings: in links that getRecordings gives out, used up by the first who
//! comes with one.

use super::connection::{Store, StoreResult};
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
}
