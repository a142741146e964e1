//! How the load of servers is computed.

use super::Env;
use std::time::Duration;

/// LOAD_ACCOUNTING: what creates and joins add to a server's load until the next poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounting {
    /// A create adds a reservation, joins only add what exceeds it: the load is the one that the next poll
    /// would compute.
    Reserve,
    /// Each create and each join adds one, as in Scalelite.
    Increment,
}

/// A larger meta_expected-users is ignored: no meeting has that many users.
const MAX_EXPECTED_USERS: u32 = 10_000;

/// Settings of the load computation.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// LOAD_ACCOUNTING.
    pub accounting: Accounting,
    /// LOAD_MIN_USER_COUNT.
    pub min_users: u32,
    /// LOAD_JOIN_BUFFER_TIME (minutes).
    pub join_buffer: Duration,
    /// LOAD_COUNT_MODERATORS_TWICE.
    pub moderators_twice: bool,
    /// DEFAULT_MEETING_TTL.
    pub meeting_ttl: Duration,
}

impl LoadConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> LoadConfig {
        let minutes = env.number(
            "LOAD_JOIN_BUFFER_TIME",
            15.0f64,
            |n| (0.0..=525_600.0).contains(n),
            "must be a number of minutes, 0 or more",
            "how long a new meeting counts at least LOAD_MIN_USER_COUNT users, minutes",
        );
        let ttl = env.number(
            "DEFAULT_MEETING_TTL",
            86_400u32,
            |n| *n >= 60,
            "must be a number of seconds, 60 or more",
            "how long a meeting record lives unless a poll renews it, seconds",
        );
        let accounting = env.parsed(
            "LOAD_ACCOUNTING",
            "reserve",
            |text| match text.trim() {
                "reserve" => Ok(Accounting::Reserve),
                "increment" => Ok(Accounting::Increment),
                _ => Err("must be reserve or increment".to_owned()),
            },
            "what a create adds to a load: reserve (LOAD_MIN_USER_COUNT users) or increment (1, as Scalelite)",
        );
        LoadConfig {
            accounting: accounting.unwrap_or(Accounting::Reserve),
            min_users: env.number(
                "LOAD_MIN_USER_COUNT",
                15u32,
                |n| *n <= MAX_EXPECTED_USERS,
                "must be a whole number from 0 to 10000",
                "minimum number of users that a new meeting counts",
            ),
            join_buffer: Duration::from_secs_f64((minutes * 60.0).round()),
            moderators_twice: env.flag(
                "LOAD_COUNT_MODERATORS_TWICE",
                false,
                "count moderators twice, as Scalelite does",
            ),
            meeting_ttl: Duration::from_secs(u64::from(ttl)),
        }
    }
}

impl LoadConfig {
    /// The reservation of a new meeting, in users. `hint` is the create's meta_expected-users, if it has one:
    /// 1 to 10,000; other values are ignored.
    pub fn reserve(&self, hint: Option<&str>) -> u32 {
        match self.accounting {
            Accounting::Increment => 1,
            Accounting::Reserve => hint
                .and_then(|hint| hint.trim().parse().ok())
                .filter(|users| (1..=MAX_EXPECTED_USERS).contains(users))
                .unwrap_or(self.min_users),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn expected_users_set_the_reservation() {
        let with = |accounting: &str| {
            let read = |name: &str| (name == "LOAD_ACCOUNTING").then(|| accounting.to_owned());
            Config::read(&read).map(|config| config.load)
        };
        let load = with("reserve").unwrap();
        for (hint, reservation) in [
            (None, 15),
            (Some("80"), 80),
            (Some(" 3 "), 3),
            (Some("0"), 15),
            (Some("-4"), 15),
            (Some("many"), 15),
            (Some("10001"), 15),
        ] {
            assert_eq!(load.reserve(hint), reservation, "{hint:?}");
        }
        assert_eq!(with("increment").unwrap().reserve(Some("80")), 1);
        let errors = with("both").unwrap_err().to_string();
        assert_eq!(errors, "LOAD_ACCOUNTING must be reserve or increment");
    }
}
