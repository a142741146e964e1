//! The poll: how often, how many servers in parallel, when a server counts as offline.

use super::Env;
use std::time::Duration;

/// Settings of the poll.
#[derive(Debug, Clone)]
pub struct PollConfig {
    /// POLL_INTERVAL, or INTERVAL.
    pub interval: Duration,
    /// POLLER_THREADS.
    pub max_parallel: usize,
    /// POLLER_WAIT_TIMEOUT, for each server.
    pub timeout: Duration,
    /// SERVER_HEALTHY_THRESHOLD.
    pub healthy_threshold: u32,
    /// SERVER_UNHEALTHY_THRESHOLD.
    pub unhealthy_threshold: u32,
    /// OFFLINE_GRACE.
    pub offline_grace: Duration,
    /// POLL_LEASE: how long the lease lasts unless it is renewed.
    pub lease: Duration,
    /// MAX_MEETINGS_PER_SERVER: a longer list of a server is not used.
    pub max_meetings: usize,
}

impl PollConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> PollConfig {
        let interval = env.seconds("INTERVAL", 60.0, "the default of POLL_INTERVAL, seconds");
        let threshold = "must be a whole number from 1 to 1000";
        let interval = env.seconds(
            "POLL_INTERVAL",
            interval.as_secs_f64(),
            "from the start of one poll round to the next, seconds",
        );
        PollConfig {
            interval,
            max_meetings: env.number(
                "MAX_MEETINGS_PER_SERVER",
                5000usize,
                |n| *n >= 1,
                "must be a whole number, 1 or more",
                "meetings that a server may list; of a longer list only that the server answers is used",
            ),
            offline_grace: env.seconds(
                "OFFLINE_GRACE",
                interval.as_secs_f64() * 2.0,
                "how long a server may be offline before its meetings are released, seconds",
            ),
            lease: env.seconds(
                "POLL_LEASE",
                10.0,
                "when a poller dies, another takes over within twice this, seconds",
            ),
            max_parallel: env.number(
                "POLLER_THREADS",
                100usize,
                |n| (1..=10_000).contains(n),
                "must be a number from 1 to 10000",
                "servers polled in parallel",
            ),
            timeout: env.seconds(
                "POLLER_WAIT_TIMEOUT",
                10.0,
                "time limit for the poll of one server, seconds",
            ),
            healthy_threshold: env.number(
                "SERVER_HEALTHY_THRESHOLD",
                1u32,
                |n| (1..=1000).contains(n),
                threshold,
                "consecutive successful polls that bring a server online",
            ),
            unhealthy_threshold: env.number(
                "SERVER_UNHEALTHY_THRESHOLD",
                2u32,
                |n| (1..=1000).contains(n),
                threshold,
                "consecutive failed polls that take a server offline",
            ),
        }
    }
}
