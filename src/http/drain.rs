//! A stop that nginx learns of before the door closes.
//!
//! A request that reaches a socket in the moment it closes is lost, and nginx cannot know whether it
//! was carried out: it must not send a join again. So a replica that stops first says 503 for one
//! second, which means "not begun, ask another", and nginx marks it as failed and comes no more. Only
//! to a proxy that has promised to ask another: for anybody else all goes on as before in that second.

use http::HeaderMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Longer than any pause between two requests that matters; shorter than the time for which
/// nginx/sl/replicas.conf leaves a replica alone.
const REFUSAL_PERIOD: Duration = Duration::from_secs(1);

/// One for all threads of a replica.
#[derive(Debug, Default)]
pub struct DrainSignal {
    /// A proxy that asks another replica after a 503 has been here.
    heard: AtomicBool,
    stopping: AtomicBool,
}

impl DrainSignal {
    /// Whether this request goes elsewhere, since we are stopping and its proxy will ask another.
    pub fn should_refuse(&self, headers: &HeaderMap) -> bool {
        let moves = headers.get("x-sl-retries-503").is_some_and(|value| value == "yes");
        // Written once: threads on other cores read it all the time.
        if moves && !self.heard.load(Relaxed) {
            self.heard.store(true, Relaxed);
        }
        moves && self.stopping.load(Relaxed)
    }

    /// The stop begins. For how long requests are to be turned away: not at all if nobody would
    /// understand.
    pub fn begin_drain(&self) -> Duration {
        self.stopping.store(true, Relaxed);
        if self.heard.load(Relaxed) { REFUSAL_PERIOD } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_a_stopping_replica_turns_away_and_only_those_who_asked_for_it() {
        let (plain, mut moves) = (HeaderMap::new(), HeaderMap::new());
        moves.insert("x-sl-retries-503", HeaderValue::from_static("yes"));
        let drain = DrainSignal::default();
        assert!(!drain.should_refuse(&plain));
        assert_eq!(drain.begin_drain(), Duration::ZERO, "nobody would understand");
        let drain = DrainSignal::default();
        assert!(!drain.should_refuse(&moves));
        assert_eq!(drain.begin_drain(), REFUSAL_PERIOD);
        assert!(drain.should_refuse(&moves) && !drain.should_refuse(&plain));
    }
}
