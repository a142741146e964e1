//! One log line a second about one outage, not one for each request that meets it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines about the same outage.
const INTERVAL: Duration = Duration::from_secs(1);

/// Outages that are remembered. With more at the same time, some are logged more often.
const MAX_OUTAGES: usize = 1024;

static OUTAGES: LazyLock<Mutex<Outages>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Outages(HashMap<(&'static str, String), Outage>);

struct Outage {
    logged_at: Instant,
    suppressed: u64,
}

/// The right to log one line about an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPermit {
    /// Lines that were not logged since the last one; None if there were none.
    pub suppressed: Option<u64>,
}

/// Whether another line about the outage of `service` (and, where there are several, `subject`) may be logged
/// now. Only for failures: it takes a lock that all threads share.
pub fn permit_log(service: &'static str, subject: &str) -> Option<LogPermit> {
    OUTAGES.lock().unwrap_or_else(PoisonError::into_inner).permit(service, subject, Instant::now())
}

impl Outages {
    fn permit(&mut self, service: &'static str, subject: &str, now: Instant) -> Option<LogPermit> {
        let key = (service, subject.to_owned());
        if let Some(outage) = self.0.get_mut(&key) {
            if now.duration_since(outage.logged_at) < INTERVAL {
                outage.suppressed += 1;
                return None;
            }
            outage.logged_at = now;
            let suppressed = std::mem::take(&mut outage.suppressed);
            return Some(LogPermit { suppressed: (suppressed > 0).then_some(suppressed) });
        }
        if self.0.len() >= MAX_OUTAGES {
            self.0.retain(|_, outage| now.duration_since(outage.logged_at) < INTERVAL);
        }
        if self.0.len() >= MAX_OUTAGES {
            self.0.clear();
        }
        self.0.insert(key, Outage { logged_at: now, suppressed: 0 });
        Some(LogPermit { suppressed: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_is_permitted_and_the_others_are_counted() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        let mut permit = |subject, ms| outages.permit("server", subject, at(ms)).map(|p| p.suppressed);
        assert_eq!(permit("a", 0), Some(None));
        assert_eq!(permit("b", 0), Some(None), "another subject is another outage");
        for ms in [0, 1, 999] {
            assert_eq!(permit("a", ms), None);
        }
        assert_eq!(permit("a", 1000), Some(Some(3)));
        assert_eq!(permit("a", 1999), None);
        assert_eq!(permit("b", 2000), Some(None));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut outages, now) = (Outages::default(), Instant::now());
        for n in 0..10 * MAX_OUTAGES {
            assert!(outages.permit("server", &n.to_string(), now).is_some());
            assert!(outages.0.len() <= MAX_OUTAGES);
        }
    }
}
