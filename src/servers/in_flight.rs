//! How many calls wait for each BBB server, so that a slow one does not consume the replica.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Servers without calls in flight are removed from the map once it has this many.
const MAX_IDLE_SERVERS: usize = 1024;

type Counts = HashMap<Arc<str>, usize>;

/// Counts the calls in flight of one thread. Cheap to clone; clones share the counts.
#[derive(Clone)]
pub(super) struct InFlight {
    max: usize,
    counts: Arc<Mutex<Counts>>,
}

/// A call in flight; it ends when this is dropped.
pub(super) struct CallInFlight {
    server: Arc<str>,
    counts: Arc<Mutex<Counts>>,
}

impl InFlight {
    /// Allows this many calls for each server.
    pub(super) fn new(max: usize) -> InFlight {
        InFlight { max, counts: Arc::default() }
    }

    /// Begins a call to the server with this URL; None if as many as allowed wait for it.
    pub(super) fn begin(&self, url: &str) -> Option<CallInFlight> {
        let mut counts = lock(&self.counts);
        let server = match counts.get_key_value(url) {
            Some((_, count)) if *count >= self.max => return None,
            Some((server, _)) => server.clone(),
            None => {
                if counts.len() >= MAX_IDLE_SERVERS {
                    counts.retain(|_, count| *count > 0);
                }
                Arc::from(url)
            }
        };
        *counts.entry(server.clone()).or_default() += 1;
        Some(CallInFlight { server, counts: self.counts.clone() })
    }
}

impl Drop for CallInFlight {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.counts).get_mut(&self.server) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Held for a look at the map only.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_one_server_are_bounded_and_those_of_others_are_not_affected() {
        let in_flight = InFlight::new(2);
        let first = in_flight.begin("http://a/api");
        let second = in_flight.clone().begin("http://a/api");
        assert!(first.is_some() && second.is_some());
        assert!(in_flight.begin("http://a/api").is_none());
        assert!(in_flight.begin("http://b/api").is_some());
        drop(first);
        assert!(in_flight.begin("http://a/api").is_some());
    }

    #[test]
    fn servers_without_calls_are_forgotten() {
        let in_flight = InFlight::new(1);
        let kept = in_flight.begin("http://kept/api");
        for n in 0..5000 {
            drop(in_flight.begin(&format!("http://{n}/api")));
        }
        assert!(lock(&in_flight.counts).len() <= MAX_IDLE_SERVERS);
        assert!(in_flight.begin("http://kept/api").is_none());
        drop(kept);
    }
}
