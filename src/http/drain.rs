//! Graceful drain: answers 503 before closing the listener.
//!
//! A request that reaches a socket at the moment it closes is lost, and nginx cannot know whether it was
//! carried out: it must not send a join again. So a replica that stops first answers 503 for one second,
//! which means "not begun, try another replica"; nginx marks it as failed and sends it no more. Only a proxy
//! that has announced that it retries after 503 gets it: all other requests are served as before in that second.

use http::HeaderMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Longer than any pause between two requests that matters; shorter than the time for which
/// nginx/sl/replicas.conf leaves a failed replica alone.
const REFUSAL_PERIOD: Duration = Duration::from_secs(1);

/// Shared by all threads of a replica.
#[derive(Debug, Default)]
pub struct DrainSignal {
    /// A proxy that retries on another replica after a 503 has sent requests.
    proxy_retries: AtomicBool,
    draining: AtomicBool,
}

impl DrainSignal {
    /// True if this request must get a 503: we are draining, and its proxy will try another replica.
    pub fn should_refuse(&self, headers: &HeaderMap) -> bool {
        let proxy_retries = headers.get("x-sl-retries-503").is_some_and(|value| value == "yes");
        // Written once only: threads on other cores read it all the time.
        if proxy_retries && !self.proxy_retries.load(Relaxed) {
            self.proxy_retries.store(true, Relaxed);
        }
        proxy_retries && self.draining.load(Relaxed)
    }

    /// Begins the drain. Returns how long requests are to be refused before the listener closes: zero if
    /// no proxy has announced that it retries.
    pub fn begin_drain(&self) -> Duration {
        self.draining.store(true, Relaxed);
        if self.proxy_retries.load(Relaxed) { REFUSAL_PERIOD } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_draining_replica_refuses_only_requests_of_a_proxy_that_retries() {
        let (plain, mut retried) = (HeaderMap::new(), HeaderMap::new());
        retried.insert("x-sl-retries-503", HeaderValue::from_static("yes"));
        let drain = DrainSignal::default();
        assert!(!drain.should_refuse(&plain));
        assert_eq!(drain.begin_drain(), Duration::ZERO, "no proxy would retry");
        let drain = DrainSignal::default();
        assert!(!drain.should_refuse(&retried));
        assert_eq!(drain.begin_drain(), REFUSAL_PERIOD);
        assert!(drain.should_refuse(&retried) && !drain.should_refuse(&plain));
    }
}
