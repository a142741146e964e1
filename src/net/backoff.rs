//! The wait before a retry. Not a crate's (backon, tokio-retry): these repeat a future in a loop, while the importer and
//! the callbacks keep the number of failures of each archive or callback, and do other work until it is due.

use std::time::Duration;

/// `base` after the first failure, doubled after each further one, at most `max`. `failures` counts the
/// failures before the latest.
pub fn exponential_backoff(failures: u32, base: Duration, max: Duration) -> Duration {
    base.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_backoff_doubles_up_to_its_maximum() {
        let seconds = |failures| {
            exponential_backoff(failures, Duration::from_secs(1), Duration::from_secs(60)).as_secs()
        };
        assert_eq!([0, 1, 2, 5, 6, 31, 32, u32::MAX].map(seconds), [1, 2, 4, 32, 60, 60, 60, 60]);
    }
}
