//! Delivers due callbacks, in every process that has the database. Any number of processes do so at the same
//! time: a callback that one has claimed is left alone by the others until its lease expires.

use super::client::{CallbackClient, DeliveryOutcome};
use super::table::{CallbackTable, ClaimedCallback, NextStep};
use super::{outbox, url_origin};
use crate::config::Config;
use crate::db::Database;
use crate::net::backoff::exponential_backoff;
use crate::store::Store;
use rand::Rng;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

/// How often to look for due callbacks: one lookup in a database index.
const CLAIM_INTERVAL: Duration = Duration::from_secs(2);
/// Attempts in parallel in this process.
const MAX_PARALLEL: usize = 32;
/// The wait after the first failed attempt, doubled after each further one.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);
/// How long a lease lasts beyond the longest possible attempt: time to write the outcome.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How often old callbacks are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// Delivers callbacks until `stopped` is true; then finishes the attempts in flight within SHUTDOWN_GRACE.
/// Another process retries those that do not finish. With a `store`, also moves URLs from there to Postgres.
pub async fn run(
    db: Database,
    store: Option<Store>,
    config: &Config,
    tls: &Arc<ClientConfig>,
    mut stopped: watch::Receiver<bool>,
) {
    let client = CallbackClient::new(config, tls);
    if client.is_none() {
        info!("LOADBALANCER_SECRET is not set: this process delivers no callbacks");
    }
    let attempts = TaskTracker::new();
    let deliverer =
        Deliverer { table: CallbackTable::new(db.clone()), db, store, client, attempts: attempts.clone() };
    tokio::select! {
        () = deliverer.run() => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    attempts.close();
    if timeout(config.listen.shutdown_grace, attempts.wait()).await.is_err() {
        warn!(
            callbacks = attempts.len(),
            "SHUTDOWN_GRACE is over: callbacks in flight are retried by another process"
        );
    }
}

struct Deliverer {
    db: Database,
    table: CallbackTable,
    store: Option<Store>,
    client: Option<CallbackClient>,
    attempts: TaskTracker,
}

impl Deliverer {
    async fn run(&self) {
        let mut ticks = interval(CLAIM_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let slots = Arc::new(Semaphore::new(MAX_PARALLEL));
        let mut failing = false;
        let mut last_sweep: Option<Instant> = None;
        let mut more = false;
        loop {
            if !std::mem::take(&mut more) {
                ticks.tick().await;
            }
            if let Some(store) = &self.store {
                outbox::drain_outbox(store, &self.db).await;
            }
            let Some(client) = &self.client else { continue };
            // Claims no more than it can attempt now, since the lease begins at the claim.
            let Ok(first) = slots.clone().acquire_owned().await else { return };
            let mut free = vec![first];
            while let Ok(slot) = slots.clone().try_acquire_owned() {
                free.push(slot);
            }
            match self.table.claim(free.len(), client.max_attempt_time() + LEASE_MARGIN).await {
                Ok(claimed) => {
                    if std::mem::take(&mut failing) {
                        info!("Postgres answers again: delivering callbacks");
                    }
                    more = claimed.len() == free.len();
                    for (claimed, slot) in claimed.into_iter().zip(free) {
                        self.attempts.spawn(deliver(self.table.clone(), client.clone(), claimed, slot));
                    }
                }
                Err(failure) if !std::mem::replace(&mut failing, true) => {
                    warn!(%failure, "cannot reach Postgres: delivery of callbacks is paused");
                }
                Err(_) => {}
            }
            if !failing && last_sweep.is_none_or(|at| at.elapsed() >= SWEEP_INTERVAL) {
                last_sweep = Some(Instant::now());
                if let Err(failure) = self.table.sweep().await {
                    debug!(%failure, "old callbacks could not be deleted");
                }
            }
        }
    }
}

async fn deliver(
    table: CallbackTable,
    client: CallbackClient,
    claimed: ClaimedCallback,
    slot: OwnedSemaphorePermit,
) {
    let outcome = client.send_recording_ready(&claimed.url, &claimed.meeting_id, &claimed.record_id).await;
    let (next, outcome) = match outcome {
        DeliveryOutcome::Delivered(text) => (NextStep::Delivered, text),
        DeliveryOutcome::Failed(text) => (NextStep::Failed, text),
        DeliveryOutcome::Retry(text, requested) => {
            (NextStep::RetryAfter(retry_delay(claimed.tries, requested)), text)
        }
    };
    // While Postgres is down, no other process can claim it either.
    let state = loop {
        match table.record_outcome(&claimed, &next, &outcome).await {
            Ok(state) => break state,
            Err(failure) if failure.is_transient() => sleep(Duration::from_secs(1)).await,
            Err(failure) => {
                error!(%failure, callback = claimed.id, "the outcome of a callback could not be written");
                break None;
            }
        }
    };
    drop(slot);
    let (record_id, to, tries) = (&claimed.record_id, url_origin(&claimed.url), claimed.tries);
    match state.as_deref() {
        Some("delivered") => info!(callback = claimed.id, record_id, to, tries, "a callback was delivered"),
        Some("failed") => warn!(
            callback = claimed.id,
            record_id, to, tries, outcome, "a callback failed: see `sl callbacks`"
        ),
        Some(_) => info!(callback = claimed.id, record_id, to, tries, outcome, "a callback will be retried"),
        None => debug!(callback = claimed.id, "callback was claimed or deleted by another worker"),
    }
}

/// The wait after this many attempts: 1, 2, 4, … seconds, up to 20 % more or less, so that callbacks that
/// failed together are not retried together; longer if the receiver requested it.
fn retry_delay(tries: i32, requested: Option<Duration>) -> Duration {
    let earlier_failures = tries.saturating_sub(1).max(0).unsigned_abs();
    let delay = exponential_backoff(earlier_failures, MIN_BACKOFF, MAX_BACKOFF);
    let delay = delay.mul_f64(rand::rng().random_range(0.8..1.2));
    delay.max(requested.unwrap_or_default()).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delay_grows_from_a_second_to_an_hour() {
        for (tries, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (5, 16.0), (12, 2048.0), (13, 3600.0)] {
            for _ in 0..50 {
                let delay = retry_delay(tries, None).as_secs_f64();
                assert!(
                    delay >= seconds * 0.79 && delay <= (seconds * 1.21f64).min(3600.0),
                    "{tries}: {delay}"
                );
            }
        }
        assert!(retry_delay(i32::MAX, None) <= MAX_BACKOFF);
    }

    #[test]
    fn a_day_has_about_thirty_attempts() {
        let mut spent = Duration::ZERO;
        let mut tries = 0;
        while spent < Duration::from_secs(86_400) {
            tries += 1;
            spent += retry_delay(tries, None);
        }
        assert!((25..50).contains(&tries), "{tries}");
    }

    #[test]
    fn retry_delay_follows_the_receiver_up_to_its_maximum() {
        assert_eq!(retry_delay(1, Some(Duration::from_secs(600))), Duration::from_secs(600));
        assert_eq!(retry_delay(1, Some(Duration::from_secs(1_000_000))), MAX_BACKOFF);
        assert!(retry_delay(10, Some(Duration::ZERO)) > Duration::from_secs(300));
    }
}
