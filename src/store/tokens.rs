//! Tokens for protected recordings: getRecordings puts them in links, and the first request with one uses
//! it up.

use super::connection::{Store, StoreResult};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// A token, and what it gives access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybackToken {
    /// 64 hex digits.
    pub token: String,
    /// The recording.
    pub record_id: String,
    /// The format of the recording.
    pub format: String,
}

/// The value in Redis; Scalelite writes the same.
#[derive(Deserialize)]
struct Access {
    record_id: String,
    format: String,
}

impl Store {
    /// Stores tokens that are valid for `lifetime`: one round trip.
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

    /// Consumes a token: however many requests present it, on any replicas, exactly one gets what it gives
    /// access to. One round trip, in a form that every Redis has (GETDEL came with 6.2). If it is repeated after a
    /// lost connection, the token may be consumed without having given access, never the other way round.
    pub async fn take_playback_token(&self, token: &str) -> StoreResult<Option<PlaybackToken>> {
        let key = self.keys.playback_token(token);
        let mut take = redis::pipe();
        take.atomic().get(&key).del(&key).ignore();
        let (stored,): (Option<String>,) = self.pipeline(&take).await?;
        Ok(stored.and_then(|text| parse_access(token, &text)))
    }

    /// What a token gives access to, without consuming it.
    pub async fn peek_playback_token(&self, token: &str) -> StoreResult<Option<PlaybackToken>> {
        let mut peek = redis::pipe();
        peek.get(self.keys.playback_token(token));
        let (stored,): (Option<String>,) = self.pipeline(&peek).await?;
        Ok(stored.and_then(|text| parse_access(token, &text)))
    }
}

fn parse_access(token: &str, stored: &str) -> Option<PlaybackToken> {
    let access = serde_json::from_str::<Access>(stored).ok()?;
    Some(PlaybackToken { token: token.to_owned(), record_id: access.record_id, format: access.format })
}
