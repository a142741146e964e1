//! Tasks that a replica cannot do without. One that panics or fails is restarted, after a growing delay, and
//! /health_check says so.

use crate::net::backoff::exponential_backoff;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::error;

/// The delay before the first restart, doubled for each further one.
const MIN_DELAY: Duration = Duration::from_secs(1);

/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// A task that has run for this long starts over with the shortest delay.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Failures are reported for this long.
const REPORTED_FOR: Duration = Duration::from_secs(600);

/// All supervised tasks of a replica. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks {
    failures: Arc<Mutex<BTreeMap<String, Failures>>>,
    min_delay: Duration,
}

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks { failures: Arc::default(), min_delay: MIN_DELAY }
    }
}

#[derive(Debug, Clone)]
struct Failures {
    count: u64,
    last: String,
    last_at: Instant,
    is_down: bool,
}

/// A task that failed within the last ten minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedTask {
    /// Its name, that of its thread.
    pub name: String,
    /// How often it has failed since the replica started.
    pub failures: u64,
    /// The last failure.
    pub last: String,
    /// It is not running: its restart is due later.
    pub is_down: bool,
}

impl Tasks {
    /// Runs a task until it returns Ok or `stopped` is true; again if it panics or fails.
    pub async fn supervise<F>(
        &self,
        name: &str,
        mut stopped: watch::Receiver<bool>,
        mut run: impl FnMut() -> F,
    ) where
        F: Future<Output = anyhow::Result<()>>,
    {
        let mut in_a_row = 0;
        loop {
            let started = Instant::now();
            let failure = match AssertUnwindSafe(async { run().await }).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(failure)) => format!("{failure:#}"),
                // The panic hook has logged where.
                Err(_) => "panicked".to_owned(),
            };
            if started.elapsed() >= STEADY_AFTER {
                in_a_row = 0;
            }
            let delay = exponential_backoff(in_a_row, self.min_delay, MAX_DELAY);
            in_a_row += 1;
            let failures = self.record_failure(name, &failure);
            error!(task = name, failure, failures, "a task has failed: restarting it in {delay:?}");
            let stop = stopped.wait_for(|stop| *stop);
            if tokio::time::timeout(delay, stop).await.is_ok() {
                return;
            }
            self.record_restart(name);
        }
    }

    /// The tasks that failed recently.
    pub fn failed(&self) -> Vec<FailedTask> {
        let tasks = self.tasks();
        let recent = tasks.iter().filter(|(_, task)| task.is_down || task.last_at.elapsed() < REPORTED_FOR);
        recent
            .map(|(name, task)| FailedTask {
                name: name.clone(),
                failures: task.count,
                last: task.last.clone(),
                is_down: task.is_down,
            })
            .collect()
    }

    fn record_failure(&self, name: &str, failure: &str) -> u64 {
        let mut tasks = self.tasks();
        let count = tasks.get(name).map_or(0, |task| task.count) + 1;
        let task = Failures { count, last: failure.to_owned(), last_at: Instant::now(), is_down: true };
        tasks.insert(name.to_owned(), task);
        count
    }

    fn record_restart(&self, name: &str) {
        if let Some(task) = self.tasks().get_mut(name) {
            task.is_down = false;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[tokio::test]
    async fn a_task_that_panics_or_fails_is_restarted_and_counted() {
        let tasks = Tasks { min_delay: Duration::ZERO, ..Tasks::default() };
        let runs = AtomicU32::new(0);
        let (_stop, stopped) = watch::channel(false);
        let seen = tasks.clone();
        tasks
            .supervise("poller", stopped, || {
                let run = runs.fetch_add(1, Relaxed);
                let failed = seen.failed();
                async move {
                    match run {
                        0 => panic!("a bug"),
                        1 => {
                            assert_eq!((failed[0].failures, failed[0].is_down), (1, false));
                            anyhow::bail!("no index")
                        }
                        _ => Ok(()),
                    }
                }
            })
            .await;
        assert_eq!(runs.load(Relaxed), 3);
        let failed =
            FailedTask { name: "poller".into(), failures: 2, last: "no index".into(), is_down: false };
        assert_eq!(tasks.failed(), [failed]);
    }

    #[tokio::test]
    async fn a_panic_before_the_first_await_is_caught_and_a_stop_ends_the_wait() {
        let tasks = Tasks::default();
        let (stop, stopped) = watch::channel(false);
        let supervised =
            tasks.supervise("importer", stopped, || -> std::future::Ready<_> { panic!("a bug") });
        let stopping = async {
            while tasks.failed().is_empty() {
                tokio::task::yield_now().await;
            }
            assert!(tasks.failed()[0].is_down);
            stop.send_replace(true);
        };
        tokio::join!(supervised, stopping);
    }
}
