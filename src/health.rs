//! What /health_check says. It tries what requests need: a script in Redis that writes, and Postgres where
//! HEALTH_CHECK_INDEX says so (on a failed check most load balancers would take the meeting calls away too, which
//! need no Postgres).
//!
//! | condition | status | text |
//! | --- | --- | --- |
//! | all is well | 200 | `success` |
//! | a task other than a worker has failed within the last ten minutes | 200 | `success`, and a line for each |
//! | the pool has no server | 200 | says so: taking this replica out of service would not help, and a client gets BBB's own error from it |
//! | Redis refuses writes or does not answer; Postgres does not answer; a worker is down | 503 | the reason |

use crate::recordings::Recordings;
use crate::store::Store;
use crate::supervisor::Tasks;
use crate::telemetry::permit_log;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::error;

/// A result is used for this long: checks may come as fast as they like.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A check in progress is shared for this long; longer than the timeouts of Redis and Postgres, usually.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The name of the workers' tasks begins with this.
pub const WORKER: &str = "api-";

/// Checks the health of a replica, at most once a second. One for each thread; cheap to clone.
#[derive(Clone)]
pub struct HealthCheck {
    store: Store,
    index: Option<Recordings>,
    tasks: Tasks,
    latest: Arc<Mutex<Option<Check>>>,
}

struct Check {
    begun: Instant,
    result: Shared<BoxFuture<'static, Health>>,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// This replica can serve requests.
    pub is_healthy: bool,
    /// What to answer.
    pub text: String,
}

impl HealthCheck {
    /// Checks Redis by `store`, and Postgres if `index` is given.
    pub fn new(store: Store, index: Option<Recordings>, tasks: Tasks) -> HealthCheck {
        HealthCheck { store, index, tasks, latest: Arc::default() }
    }

    /// The health now, or that of a check in the last second.
    pub async fn check(&self) -> Health {
        let result = {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            match &*latest {
                Some(check) if check.is_current() => check.result.clone(),
                _ => {
                    let this = self.clone();
                    let result = async move { this.check_now().await }.boxed().shared();
                    *latest = Some(Check { begun: Instant::now(), result: result.clone() });
                    result
                }
            }
        };
        result.await
    }

    async fn check_now(self) -> Health {
        let servers = match self.store.check_writes().await {
            Ok(servers) => servers,
            Err(failure) => return failed("Redis", &format!("Redis cannot serve requests: {failure}")),
        };
        if let Some(recordings) = &self.index
            && let Err(failure) = recordings.index.db().ping().await
        {
            return failed("Postgres", &format!("The index of recordings does not answer: {failure}"));
        }
        let tasks = self.tasks.failed();
        if let Some(worker) = tasks.iter().find(|task| task.is_down && task.name.starts_with(WORKER)) {
            return failed("worker", &format!("The worker {} is not running: {}", worker.name, worker.last));
        }
        if servers == 0 {
            let text = "The pool has no server. Add one: sl servers add URL SECRET\n".to_owned();
            return Health { is_healthy: true, text };
        }
        let mut text = "success".to_owned();
        for task in tasks {
            let state = if task.is_down { "will be restarted" } else { "was restarted" };
            text += &format!(
                "\nwarning: {} {state}, failures: {}, last: {}",
                task.name, task.failures, task.last
            );
        }
        Health { is_healthy: true, text }
    }
}

impl Check {
    fn is_current(&self) -> bool {
        let max_age = if self.result.peek().is_some() { MAX_AGE } else { MAX_WAIT };
        self.begun.elapsed() < max_age
    }
}

fn failed(service: &'static str, text: &str) -> Health {
    if let Some(permit) = permit_log("health check", service) {
        error!(service, suppressed = permit.suppressed, "health check failed: {text}");
    }
    Health { is_healthy: false, text: format!("{text}\n") }
}
