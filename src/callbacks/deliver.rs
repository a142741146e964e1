//! Delivers what is due, in every process that has the index. Any number do so at once: what one has in
//! hand, the others leave alone until its lease lapses.

use super::client::{Announcer, Outcome};
use super::table::{CallbackTable, Claimed, Verdict};
use super::{outbox, shown};
use crate::config::Config;
use crate::db::Database;
use crate::store::Store;
use rand::Rng;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

/// So often it is looked whether something is due: one probe of an index.
const LOOK: Duration = Duration::from_secs(2);
/// Under way at once in this process.
const AT_ONCE: usize = 32;
/// The first wait after a try that failed. Each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What a lease lasts beyond the longest try: time to write what came of it.
const MARGIN: Duration = Duration::from_secs(5);
/// What is over for long is looked for this often.
const SWEEP: Duration = Duration::from_secs(3600);

/// Delivers callbacks until told to stop; then what is under way comes to its end, within SHUTDOWN_GRACE. What
/// does not is tried again by somebody else. With a `store` it also brings to the index what waits there.
pub async fn run(
    db: Database,
    store: Option<Store>,
    config: &Config,
    tls: &Arc<ClientConfig>,
    mut stopped: watch::Receiver<bool>,
) {
    let announcer = Announcer::new(config, tls);
    if announcer.is_none() {
        info!("callbacks are left to processes that have LOADBALANCER_SECRET");
    }
    let under_way = TaskTracker::new();
    let deliverer = Deliverer {
        table: CallbackTable::new(db.clone()),
        db,
        store,
        announcer,
        under_way: under_way.clone(),
    };
    tokio::select! {
        () = deliverer.live() => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    under_way.close();
    if timeout(config.listen.shutdown_grace, under_way.wait()).await.is_err() {
        warn!(
            callbacks = under_way.len(),
            "SHUTDOWN_GRACE is over: callbacks under way are tried again later"
        );
    }
}

struct Deliverer {
    db: Database,
    table: CallbackTable,
    store: Option<Store>,
    announcer: Option<Announcer>,
    under_way: TaskTracker,
}

impl Deliverer {
    async fn live(&self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut failing = false;
        let mut swept: Option<Instant> = None;
        let mut more = false;
        loop {
            if !std::mem::take(&mut more) {
                looks.tick().await;
            }
            if let Some(store) = &self.store {
                outbox::bring(store, &self.db).await;
            }
            let Some(announcer) = &self.announcer else { continue };
            // Only as many as there is room for: a lease begins now.
            let Ok(first) = slots.clone().acquire_owned().await else { return };
            let mut room = vec![first];
            while let Ok(slot) = slots.clone().try_acquire_owned() {
                room.push(slot);
            }
            match self.table.claim(room.len(), announcer.longest() + MARGIN).await {
                Ok(claimed) => {
                    if std::mem::take(&mut failing) {
                        info!("callbacks go on");
                    }
                    more = claimed.len() == room.len();
                    for (claimed, slot) in claimed.into_iter().zip(room) {
                        self.under_way.spawn(deliver(self.table.clone(), announcer.clone(), claimed, slot));
                    }
                }
                Err(failure) if !std::mem::replace(&mut failing, true) => {
                    warn!(%failure, "callbacks wait for the index");
                }
                Err(_) => {}
            }
            if !failing && swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                swept = Some(Instant::now());
                if let Err(failure) = self.table.sweep().await {
                    debug!(%failure, "old callbacks could not be forgotten");
                }
            }
        }
    }
}

async fn deliver(table: CallbackTable, announcer: Announcer, claimed: Claimed, slot: OwnedSemaphorePermit) {
    let outcome = announcer.recording_ready(&claimed.url, &claimed.meeting_id, &claimed.record_id).await;
    let (verdict, words) = match outcome {
        Outcome::Delivered(words) => (Verdict::Delivered, words),
        Outcome::GaveUp(words) => (Verdict::Failed, words),
        Outcome::Later(words, wish) => (Verdict::Again(wait(claimed.tries, wish)), words),
    };
    // While Postgres is away nobody else can take it in hand either.
    let state = loop {
        match table.record_outcome(&claimed, &verdict, &words).await {
            Ok(state) => break state,
            Err(failure) if failure.is_transient() => sleep(Duration::from_secs(1)).await,
            Err(failure) => {
                error!(%failure, callback = claimed.id, "what came of a callback could not be written");
                break None;
            }
        }
    };
    drop(slot);
    let (record_id, to, tries) = (&claimed.record_id, shown(&claimed.url), claimed.tries);
    match state.as_deref() {
        Some("delivered") => info!(callback = claimed.id, record_id, to, tries, "a callback was delivered"),
        Some("failed") => warn!(
            callback = claimed.id,
            record_id,
            to,
            tries,
            outcome = words,
            "a callback failed: see sl callbacks"
        ),
        Some(_) => info!(
            callback = claimed.id,
            record_id,
            to,
            tries,
            outcome = words,
            "a callback is tried again later"
        ),
        None => debug!(callback = claimed.id, "somebody else has taken this callback in hand, or dropped it"),
    }
}

/// How long to wait after so many tries: 1, 2, 4, … seconds, a fifth more or less, so that those who failed
/// together do not come back together; longer if the receiver wishes.
fn wait(tries: i32, wish: Option<Duration>) -> Duration {
    let doublings = tries.saturating_sub(1).clamp(0, 12) as u32;
    let wait = (FIRST_WAIT * 2u32.pow(doublings)).min(LONGEST_WAIT);
    let wait = wait.mul_f64(rand::rng().random_range(0.8..1.2));
    wait.max(wish.unwrap_or_default()).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_second_to_an_hour() {
        for (tries, seconds) in [(0, 1.0), (1, 1.0), (2, 2.0), (5, 16.0), (12, 2048.0), (13, 3600.0)] {
            for _ in 0..50 {
                let wait = wait(tries, None).as_secs_f64();
                assert!(wait >= seconds * 0.79 && wait <= (seconds * 1.21f64).min(3600.0), "{tries}: {wait}");
            }
        }
        assert!(wait(i32::MAX, None) <= LONGEST_WAIT);
    }

    #[test]
    fn a_day_has_some_thirty_tries() {
        let mut spent = Duration::ZERO;
        let mut tries = 0;
        while spent < Duration::from_secs(86_400) {
            tries += 1;
            spent += wait(tries, None);
        }
        assert!((25..50).contains(&tries), "{tries}");
    }

    #[test]
    fn a_receiver_may_wish_for_longer_waits_within_bounds() {
        assert_eq!(wait(1, Some(Duration::from_secs(600))), Duration::from_secs(600));
        assert_eq!(wait(1, Some(Duration::from_secs(1_000_000))), LONGEST_WAIT);
        assert!(wait(10, Some(Duration::ZERO)) > Duration::from_secs(300));
    }
}
