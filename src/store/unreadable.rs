//! What is known of a server whose list of meetings cannot be read, or not all of it.

use super::connection::{Store, StoreResult};
use super::keys::MeetingKey;
use super::lease::Fence;
use super::polls::PollOutcome;
use super::scripts::PollUnreadable;
use std::time::Duration;

impl Store {
    /// Notes that a server answered a poll with what cannot be read: see `lua/poll_unreadable.lua`.
    pub async fn poll_unreadable(
        &self,
        id: &str,
        started_ms: u64,
        fence: &Fence,
        ttl: Duration,
    ) -> StoreResult<PollOutcome> {
        let call = PollUnreadable { server: id, started_ms, ttl_seconds: ttl.as_secs(), fence };
        let mut reply = self.run(&call).await?;
        let online = match reply.text()?.as_str() {
            "online" => true,
            "offline" => false,
            other => return reply.not_applied(other),
        };
        Ok(PollOutcome::unlisted(online, false, reply.state()?))
    }

    /// The meetings recorded on a server, with their participants at the last poll.
    pub async fn meetings_recorded_on(&self, id: &str) -> StoreResult<Vec<(MeetingKey, u64)>> {
        let mut list = redis::cmd("ZRANGE");
        list.arg(self.keys.server_meetings(id)).arg(0).arg(-1);
        let ids: Vec<String> = self.command(&list).await?;
        let keys: Vec<MeetingKey> = ids.iter().map(|id| MeetingKey::of(id)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.hget(self.keys.meeting_notes(key), "users").hget(self.keys.meeting(key), "server_id");
        }
        let found: Vec<Option<String>> = self.pipeline(&pipeline).await?;
        let (found, _) = found.as_chunks::<2>();
        let recorded = keys.into_iter().zip(found).filter(|(_, [_, on])| on.as_deref() == Some(id));
        let users = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        Ok(recorded.map(|(key, [text, _])| (key, users(text).unwrap_or_default())).collect())
    }
}
