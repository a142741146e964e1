//! The BBB version that the pool reports.

use crate::store::Store;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The servers' versions are read again after this. The index is unsigned: anybody can ask for it at any rate.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The version that all servers have at least. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct PoolVersion {
    store: Store,
    /// When it was read, and what.
    cached: Arc<Mutex<Option<(Instant, String)>>>,
}

impl PoolVersion {
    /// Nothing is read yet.
    pub fn new(store: Store) -> PoolVersion {
        PoolVersion { store, cached: Arc::default() }
    }

    /// The lowest BBB version of the servers that are online, at most ten seconds old; empty if there is none, if one of
    /// them hides its version, or while Redis does not respond.
    pub async fn least(&self) -> String {
        {
            let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_at, version)) = cached.as_mut() {
                if read_at.elapsed() < MAX_AGE {
                    return version.clone();
                }
                // Of the requests that come now, this one alone reads again.
                *read_at = Instant::now();
            }
        }
        let servers = self.store.servers().await.unwrap_or_default();
        let online = servers.iter().filter(|server| server.online);
        let version = least(online.map(|server| server.bbb_version.as_deref().unwrap_or_default()));
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), version.clone()));
        version
    }
}

/// The lowest version; empty if one of them is.
fn least<'a>(versions: impl Iterator<Item = &'a str>) -> String {
    versions.min_by(|a, b| compare(a, b)).unwrap_or_default().to_owned()
}

/// By the numbers; `3.0.0-beta.2` comes before `3.0.0`.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |version| -> (&str, Option<&str>) {
        match str::split_once(version, '-') {
            Some((release, pre)) => (release, Some(pre)),
            None => (version, None),
        }
    };
    let ((a, a_pre), (b, b_pre)) = (parts(a), parts(b));
    natord::compare(a, b).then_with(|| match (a_pre, b_pre) {
        (Some(a), Some(b)) => natord::compare(a, b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (versions, expected) in [
            (&["3.0.9", "3.0.10", "2.7.12"][..], "2.7.12"),
            (&["3.0.10", "3.0.9"], "3.0.9"),
            (&["3.0.0", "3.0.0-beta.10", "3.0.0-beta.9"], "3.0.0-beta.9"),
            (&["3.0.9", ""], ""),
            (&["2.7"], "2.7"),
            (&[], ""),
        ] {
            assert_eq!(least(versions.iter().copied()), expected, "{versions:?}");
        }
    }
}
