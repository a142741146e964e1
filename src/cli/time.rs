//! Durations and dates, as operators write and read them.

use chrono::DateTime;
use indicatif::HumanDuration;
use std::time::Duration;

const MAX_DURATION: Duration = Duration::from_secs(365 * 86_400);

/// `90s`, `1.5m`, `2h`, `1d`; a bare number is seconds. Above 0, up to a year. One number and one unit only: `1h30`
/// and `5M` must not become 1 h 30 s and five months.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let duration = match unit {
        "" => humantime::parse_duration(&format!("{text}s")).ok(),
        "s" | "m" | "min" | "h" | "d" => humantime::parse_duration(text).ok(),
        _ => None,
    };
    duration
        .filter(|duration| !duration.is_zero() && *duration <= MAX_DURATION)
        .ok_or_else(|| "must be a duration such as 90s, 30m, 2h or 1d".to_owned())
}

/// `36h`, `90d`, `12w`. No other units: `3m` must not delete what is older than three minutes for an operator
/// who meant months.
pub(super) fn parse_age(text: &str) -> Result<Duration, String> {
    let is_age = text
        .strip_suffix(['h', 'd', 'w'])
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    let age = if is_age { humantime::parse_duration(text).ok() } else { None };
    age.ok_or_else(|| "must be a number with h, d or w, such as 90d".to_owned())
}

/// `2026-01-31 12:00`; empty if no calendar has the time.
pub(super) fn utc(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or(String::new(), |time| time.format("%Y-%m-%d %H:%M").to_string())
}

/// How long ago something was: `5 minutes`.
pub(super) fn ago(ms: u64) -> String {
    HumanDuration(Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_duration_accepts_one_unit_or_seconds() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("1.5m", 90), ("5min", 300), ("2h", 7200), ("1d", 86_400)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "-1h", "2x", "0", "0s", "nan", "1000d", "5M", "1h30", "1h 30m", "."] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parse_age_accepts_hours_days_and_weeks_only() {
        for (text, hours) in [("36h", 36), ("90d", 2160), ("12w", 2016), ("0d", 0)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(hours * 3600)), "{text}");
        }
        for text in ["", "d", "90", "3m", "-1d", "1.5d", "1w 2d", "99999999999999999999d"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn utc_prints_dates_before_and_after_1970() {
        assert_eq!(utc(0), "1970-01-01 00:00");
        assert_eq!(utc(1_767_225_600_000), "2026-01-01 00:00");
        assert_eq!(utc(1_709_251_199_000), "2024-02-29 23:59");
        assert_eq!(utc(-60_000), "1969-12-31 23:59");
    }
}
