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
}

impl PollConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> PollConfig {
        let interval = seconds(env, "INTERVAL", 60.0, "the same as POLL_INTERVAL, which goes first");
        let threshold = "must be a number, 1 or more";
        PollConfig {
            interval: seconds(
                env,
                "POLL_INTERVAL",
                interval.as_secs_f64(),
                "from one poll to the next, seconds",
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
