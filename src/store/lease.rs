//! The lease on polling, the fence that it gives to the writes of polls, and the brake.

use super::connection::{Store, StoreResult};
use super::scripts::{Brake as BrakeCall, Lease};
use redis::{RedisWrite, ToRedisArgs};
use std::time::Duration;

/// What the writes of a poll carry, so that a poller that has lost its lease overwrites nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fence {
    /// The poll of the replica that holds, or held, the lease.
    Held(String),
    /// A poll without a lease: an operator's, or one that a failed request caused. Only a later poll of
    /// the same server supersedes it.
    None,
}

impl ToRedisArgs for Fence {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg(match self {
            Fence::Held(fence) => fence.as_bytes(),
            Fence::None => b"",
        });
    }
}

/// Outcomes of `lease.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// Taken or renewed.
    Held {
        /// What the writes of this holder's polls carry.
        fence: Fence,
        /// Time since the last round of polls began, by any replica; None if there was none.
        since_round: Option<Duration>,
    },
    /// Another replica holds it.
    Other,
    /// Given up.
    Free,
}

/// Outcomes of `brake.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrakeOutcome {
    /// Holds from now on.
    On,
    /// Still holds.
    Holding,
    /// Released now.
    Off,
    /// There is none.
    None,
    /// The lease is lost.
    Fenced,
}

/// More than half of the pool does not answer: no server is abandoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// When it began to hold, ms since 1970.
    pub since_ms: u64,
    /// Servers that did not answer in the last round.
    pub failed: u64,
    /// Servers that should have answered.
    pub expected: u64,
}

impl Store {
    /// Takes or renews the lease on polling; `round_begins` records that a round does. See
    /// `lua/lease.lua`.
    pub async fn lease(
        &self,
        replica: &str,
        lasts: Duration,
        round_begins: bool,
    ) -> StoreResult<LeaseOutcome> {
        let mut reply = self.run(&Lease { replica, lasts_ms: lasts.as_millis(), round_begins }).await?;
        match reply.text()?.as_str() {
            "held" => Ok(LeaseOutcome::Held {
                fence: Fence::Held(reply.text()?),
                since_round: reply.text()?.parse().ok().map(Duration::from_millis),
            }),
            "other" => Ok(LeaseOutcome::Other),
            "free" => Ok(LeaseOutcome::Free),
            _ => Err(reply.unexpected()),
        }
    }

    /// Gives the lease up.
    pub async fn give_up_lease(&self, replica: &str) -> StoreResult<()> {
        self.lease(replica, Duration::ZERO, false).await.map(drop)
    }

    /// Records the result of a whole round of polls: see `lua/brake.lua`.
    pub async fn update_brake(
        &self,
        failed: usize,
        expected: usize,
        fence: &Fence,
    ) -> StoreResult<BrakeOutcome> {
        let mut reply = self.run(&BrakeCall { failed, expected, fence }).await?;
        match reply.text()?.as_str() {
            "on" => Ok(BrakeOutcome::On),
            "holding" => Ok(BrakeOutcome::Holding),
            "off" => Ok(BrakeOutcome::Off),
            "none" => Ok(BrakeOutcome::None),
            "fenced" => Ok(BrakeOutcome::Fenced),
            _ => Err(reply.unexpected()),
        }
    }

    /// The brake, if it holds.
    pub async fn brake(&self) -> StoreResult<Option<Brake>> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.brake()).arg(&["since", "failed", "expected"]);
        let (since, failed, expected): (Option<u64>, Option<u64>, Option<u64>) =
            self.command(&command).await?;
        Ok(since.map(|since_ms| Brake {
            since_ms,
            failed: failed.unwrap_or(0),
            expected: expected.unwrap_or(0),
        }))
    }

    /// Records that a round of polls begins without a lease.
    pub async fn note_round(&self, now_ms: u64) -> StoreResult<()> {
        self.command(redis::cmd("SET").arg(self.keys.poll_round()).arg(now_ms)).await
    }

    /// The replica that holds the lease, if any, and when the last round began, ms since 1970.
    pub async fn poller(&self) -> StoreResult<(Option<String>, Option<u64>)> {
        let mut pipeline = redis::pipe();
        pipeline.get(self.keys.poll_lease()).get(self.keys.poll_round());
        self.pipeline(&pipeline).await
    }
}
