//! How load is counted.

use super::Env;
use std::time::Duration;

/// LOAD_ACCOUNTING: what creates and joins add to a server's load until the next poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounting {
    /// A create reserves room at once, joins add only beyond it: the load is what the next poll
    /// would find.
    Reserve,
    /// One for each create and each join, as Scalelite does.
    Increment,
}

/// A size hint above this is no hint: nobody has meetings of that size.
const LARGEST_HINT: u32 = 10_000;

/// See the fields.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// LOAD_ACCOUNTING.
    pub accounting: Accounting,
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
        let accounting = env.parsed(
            "LOAD_ACCOUNTING",
            "reserve",
            |text| match text.trim() {
                "reserve" => Ok(Accounting::Reserve),
                "increment" => Ok(Accounting::Increment),
                _ => Err("must be reserve or increment".to_owned()),
            },
            "what a create adds to a load: the room that it reserves, or one (increment, as Scalelite)",
        );
        LoadConfig {
            accounting: accounting.unwrap_or(Accounting::Reserve),
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

impl LoadConfig {
    /// People that a new meeting counts for until they have come. `hint` is the create's
    /// meta_expected-users, where it has one: from 1 to 10,000, anything else says nothing.
    pub fn reserve(&self, hint: Option<&str>) -> u32 {
        match self.accounting {
            Accounting::Increment => 1,
            Accounting::Reserve => hint
                .and_then(|hint| hint.trim().parse().ok())
                .filter(|users| (1..=LARGEST_HINT).contains(users))
                .unwrap_or(self.min_users),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn hints_count_where_room_is_reserved() {
        let with = |accounting: &str| {
            let read = |name: &str| (name == "LOAD_ACCOUNTING").then(|| accounting.to_owned());
            Config::read(&read).map(|config| config.load)
        };
        let load = with("reserve").unwrap();
        for (hint, reserved) in [
            (None, 15),
            (Some("80"), 80),
            (Some(" 3 "), 3),
            (Some("0"), 15),
            (Some("-4"), 15),
            (Some("many"), 15),
            (Some("10001"), 15),
        ] {
            assert_eq!(load.reserve(hint), reserved, "{hint:?}");
        }
        assert_eq!(with("increment").unwrap().reserve(Some("80")), 1);
        let errors = with("both").unwrap_err().to_string();
        assert_eq!(errors, "LOAD_ACCOUNTING must be reserve or increment");
    }
}
