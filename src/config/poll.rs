//! The poll: how often, how many at once, when a server counts as offline.

use super::{Env, listen::seconds};
use std::time::Duration;

/// See the fields.
#[derive(Debug, Clone)]
pub struct PollConfig {
    /// POLL_INTERVAL, or INTERVAL: from the start of a round to the start of the next.
    pub interval: Duration,
    /// POLLER_THREADS: servers asked at once.
    pub concurrency: usize,
    /// POLLER_WAIT_TIMEOUT: each server's own deadline.
    pub deadline: Duration,
    /// SERVER_HEALTHY_THRESHOLD: successes in a row that bring a server online.
    pub healthy_threshold: u32,
    /// SERVER_UNHEALTHY_THRESHOLD: failures in a row that take it offline.
    pub unhealthy_threshold: u32,
    /// OFFLINE_GRACE: so long the meetings of an offline server stay recorded.
    pub offline_grace: Duration,
    /// POLL_LEASE: how long a poller that says nothing more keeps the others from polling.
    pub lease: Duration,
    /// CREATE_FAILOVER_TRIES: servers more that a create tries when one fails.
    pub failover_tries: usize,
}

impl PollConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> PollConfig {
        let interval = seconds(env, "INTERVAL", 60.0, "the same as POLL_INTERVAL, which goes first");
        let threshold = "must be a number, 1 or more";
        let interval =
            seconds(env, "POLL_INTERVAL", interval.as_secs_f64(), "from one poll to the next, seconds");
        PollConfig {
            interval,
            offline_grace: seconds(
                env,
                "OFFLINE_GRACE",
                interval.as_secs_f64() * 2.0,
                "how long the meetings of an offline server stay recorded, seconds",
            ),
            lease: seconds(
                env,
                "POLL_LEASE",
                10.0,
                "after a poller has died, another polls within twice this, seconds",
            ),
            failover_tries: env.number(
                "CREATE_FAILOVER_TRIES",
                2usize,
                |n| *n <= 100,
                "must be a number from 0 to 100",
                "servers more that a create tries when one fails",
            ),
            concurrency: env.number(
                "POLLER_THREADS",
                100usize,
                |n| (1..=10_000).contains(n),
                "must be a number from 1 to 10000",
                "servers polled at once",
            ),
            deadline: seconds(
                env,
                "POLLER_WAIT_TIMEOUT",
                10.0,
                "how long a poll waits for one server, seconds",
            ),
            healthy_threshold: env.number(
                "SERVER_HEALTHY_THRESHOLD",
                1u32,
                |n| *n >= 1,
                threshold,
                "polls in a row that bring a server online",
            ),
            unhealthy_threshold: env.number(
                "SERVER_UNHEALTHY_THRESHOLD",
                2u32,
                |n| *n >= 1,
                threshold,
                "failures in a row that take a server offline",
            ),
        }
    }
}
