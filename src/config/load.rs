//! How load is counted.

use super::Env;
use std::time::Duration;

/// See the fields.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// LOAD_MIN_USER_COUNT: people a young meeting counts for at least.
    pub min_users: u32,
    /// LOAD_JOIN_BUFFER_TIME (minutes): how long a meeting is young.
    pub join_buffer: Duration,
    /// LOAD_COUNT_MODERATORS_TWICE: Scalelite's sum.
    pub moderators_twice: bool,
    /// DEFAULT_MEETING_TTL: records expire after this unless a poll renews them.
    pub meeting_ttl: Duration,
}

impl LoadConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> LoadConfig {
        let must = "must be a whole number, 0 or more";
        let minutes = env.number(
            "LOAD_JOIN_BUFFER_TIME",
            15u32,
            |_| true,
            must,
            "how long a meeting is young, minutes",
        );
        let ttl = env.number(
            "DEFAULT_MEETING_TTL",
            86_400u32,
            |n| *n >= 60,
            "must be a number of seconds, 60 or more",
            "meeting records expire after this unless a poll renews them, seconds",
        );
        LoadConfig {
            min_users: env.number(
                "LOAD_MIN_USER_COUNT",
                15u32,
                |_| true,
                must,
                "people a young meeting counts for at least",
            ),
            join_buffer: Duration::from_secs(u64::from(minutes) * 60),
            moderators_twice: env.flag(
                "LOAD_COUNT_MODERATORS_TWICE",
                false,
                "count moderators twice, as Scalelite does",
            ),
            meeting_ttl: Duration::from_secs(u64::from(ttl)),
        }
    }
}
