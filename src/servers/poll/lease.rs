//! Which replica polls. Any may; the one that holds the lease does. It renews the lease while it
//! lives, gives it up when it stops, and loses it when it says nothing for as long as the lease
//! lasts. What it writes carries the lease's fence: see `lua/lease.lua`.

use super::round::{Recheck, Round, round};
use crate::config::Config;
use crate::servers::Backend;
use crate::store::{Fence, LeaseOutcome, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, error, info};

/// So often it is looked whether a server is under suspicion, between rounds.
const RECHECK: Duration = Duration::from_secs(1);

/// A stop does not wait for Redis longer than this to give the lease up; it expires by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes part in the polls until told to stop.
pub async fn run(store: Store, backend: Backend, config: Arc<Config>, mut stop: watch::Receiver<bool>) {
    let poller = Poller { me: name(), store, backend, config };
    tokio::select! {
        () = poller.live() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Half a round does no harm: each server's figures are written by themselves.
    let _ = timeout(FAREWELL, poller.store.give_up_lease(&poller.me)).await;
}

/// `host:pid:random`, so that an operator sees who polls.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}:{}:{}", host.trim(), std::process::id(), &random[..8])
}

struct Poller {
    me: String,
    store: Store,
    backend: Backend,
    config: Arc<Config>,
}

/// Why a holder stops holding.
enum Ended {
    /// The lease is somebody else's, or could not be renewed.
    Lost,
    /// More than half of the pool did not answer, so perhaps it is this replica's network: another
    /// one may try, if there is one.
    SteppedDown,
}

impl Poller {
    async fn live(&self) {
        let lasts = self.config.poll.lease;
        let mut redis_fails = false;
        loop {
            let mut pause = lasts / 3;
            match self.store.lease(&self.me, lasts, false).await {
                Ok(LeaseOutcome::Held { fence, since_round }) => {
                    redis_fails = false;
                    debug!(?fence, "this replica polls");
                    match self.hold(&fence, since_round).await {
                        Ended::Lost => debug!("another replica polls"),
                        Ended::SteppedDown => {
                            let _ = self.store.give_up_lease(&self.me).await;
                            pause = lasts.min(self.config.poll.interval / 2);
                        }
                    }
                }
                Ok(LeaseOutcome::Other | LeaseOutcome::Free) => {
                    if std::mem::take(&mut redis_fails) {
                        info!("Redis answers again");
                    }
                }
                Err(failure) => self.say_once(&mut redis_fails, &failure),
            }
            sleep(pause).await;
        }
    }

    fn say_once(&self, said: &mut bool, failure: &StoreError) {
        if !std::mem::replace(said, true) {
            error!(%failure, "cannot poll");
        }
    }

    /// Polls round after round, for as long as the lease is ours.
    async fn hold(&self, fence: &Fence, since_round: Option<Duration>) -> Ended {
        tokio::select! {
            () = self.renew(fence) => Ended::Lost,
            () = self.recheck(fence) => Ended::Lost,
            ended = self.rounds(fence, since_round) => ended,
        }
    }

    /// Returns when the lease is lost.
    async fn renew(&self, fence: &Fence) {
        let lasts = self.config.poll.lease;
        let mut until = Instant::now() + lasts;
        loop {
            sleep(lasts / 3).await;
            let asked = Instant::now();
            match self.store.lease(&self.me, lasts, false).await {
                Ok(LeaseOutcome::Held { fence: mine, .. }) if mine == *fence => until = asked + lasts,
                Ok(_) => return,
                Err(failure) if Instant::now() >= until => {
                    error!(%failure, "the lease on polling could not be renewed");
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// Returns when the lease is lost.
    async fn recheck(&self, fence: &Fence) {
        let mut recheck = Recheck::default();
        loop {
            sleep(RECHECK.min(self.config.poll.interval)).await;
            // A Redis that fails is what the rounds say.
            if let Ok(false) = recheck.pass(&self.store, &self.backend, &self.config, fence).await {
                return;
            }
        }
    }

    async fn rounds(&self, fence: &Fence, since_round: Option<Duration>) -> Ended {
        let interval = self.config.poll.interval;
        // Whoever polled before has begun this interval.
        let mut due =
            Instant::now() + since_round.map_or(Duration::ZERO, |since| interval.saturating_sub(since));
        let mut redis_fails = false;
        loop {
            sleep_until(due).await;
            due = Instant::now() + interval;
            match self.round(fence).await {
                Ok(Some(round)) => {
                    redis_fails = false;
                    debug!(
                        answered = round.answered,
                        failed = round.failed,
                        released = round.released,
                        adopted = round.adopted,
                        took_ms = round.took.as_millis() as u64,
                        "polled"
                    );
                    if round.fenced {
                        return Ended::Lost;
                    }
                    if round.braked {
                        return Ended::SteppedDown;
                    }
                }
                Ok(None) => return Ended::Lost,
                Err(failure) => self.say_once(&mut redis_fails, &failure),
            }
        }
    }

    /// None if the lease is not ours any more.
    async fn round(&self, fence: &Fence) -> Result<Option<Round>, StoreError> {
        match self.store.lease(&self.me, self.config.poll.lease, true).await? {
            LeaseOutcome::Held { fence: mine, .. } if mine == *fence => {}
            _ => return Ok(None),
        }
        round(&self.store, &self.backend, &self.config, fence, |_, _| {}).await.map(Some)
    }
}
