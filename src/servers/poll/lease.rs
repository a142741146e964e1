//! Which replica polls. Any replica may; the one that holds the lease does. It renews the lease while it
//! lives, releases it when it stops, and loses it when it does not renew it in time. Its writes carry the
//! lease's fence: see `lua/lease.lua`.

use super::suspects::SuspectPoller;
use super::{Poller, Round};
use crate::store::{Fence, LeaseOutcome, StoreError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, error, info};

/// How often suspects are polled, between rounds.
const SUSPECT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a stop waits for Redis to release the lease; otherwise the lease expires.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes part in the polls until `stop` is true.
pub async fn run(poller: Poller, mut stop: watch::Receiver<bool>) {
    let candidate = LeaseCandidate { name: replica_name(), poller };
    tokio::select! {
        () = candidate.run() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // An interrupted round does no harm: each server's result is written on its own.
    let _ = timeout(RELEASE_TIMEOUT, candidate.release_lease()).await;
}

/// `host:pid:random`, so that an operator sees which replica polls.
fn replica_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}:{}:{}", host.trim(), std::process::id(), &random[..8])
}

struct LeaseCandidate {
    name: String,
    poller: Poller,
}

/// Why a holder of the lease stopped polling.
enum Ended {
    /// Another replica has the lease, or it could not be renewed.
    Lost,
    /// More than half of the pool did not respond. The cause may be this replica's network, so another
    /// replica may try, if there is one.
    SteppedDown,
}

impl LeaseCandidate {
    /// Tries to get the lease, and polls while it has it.
    async fn run(&self) {
        let poll = &self.poller.config.poll;
        let mut redis_fails = false;
        loop {
            let mut pause = poll.lease / 3;
            match self.poller.store.lease(&self.name, poll.lease, false).await {
                Ok(LeaseOutcome::Held { fence, since_round }) => {
                    redis_fails = false;
                    debug!(?fence, "this replica polls");
                    match self.poll_until_lost(&fence, since_round).await {
                        Ended::Lost => debug!("another replica polls"),
                        Ended::SteppedDown => {
                            let _ = self.release_lease().await;
                            pause = poll.lease.min(poll.interval / 2);
                        }
                    }
                }
                Ok(LeaseOutcome::Other | LeaseOutcome::Free) => {
                    if std::mem::take(&mut redis_fails) {
                        info!("Redis answers again");
                    }
                }
                Err(failure) => log_once(&mut redis_fails, &failure),
            }
            sleep(pause).await;
        }
    }

    async fn release_lease(&self) -> Result<(), StoreError> {
        self.poller.store.give_up_lease(&self.name).await.map(drop)
    }

    async fn poll_until_lost(&self, fence: &Fence, since_round: Option<Duration>) -> Ended {
        tokio::select! {
            () = self.renew_until_lost(fence) => Ended::Lost,
            () = self.poll_suspects_until_lost(fence) => Ended::Lost,
            ended = self.poll_rounds(fence, since_round) => ended,
        }
    }

    async fn renew_until_lost(&self, fence: &Fence) {
        let lease = self.poller.config.poll.lease;
        let mut expires_at = Instant::now() + lease;
        loop {
            sleep(lease / 3).await;
            let sent_at = Instant::now();
            match self.poller.store.lease(&self.name, lease, false).await {
                Ok(LeaseOutcome::Held { fence: ours, .. }) if ours == *fence => expires_at = sent_at + lease,
                Ok(LeaseOutcome::Held { .. } | LeaseOutcome::Other | LeaseOutcome::Free) => return,
                Err(failure) if Instant::now() >= expires_at => {
                    error!(%failure, "the poll lease could not be renewed");
                    return;
                }
                Err(_) => {}
            }
        }
    }

    async fn poll_suspects_until_lost(&self, fence: &Fence) {
        let mut suspects = SuspectPoller::new(&self.poller);
        loop {
            sleep(SUSPECT_INTERVAL.min(self.poller.config.poll.interval)).await;
            // The rounds log it when Redis fails.
            if let Ok(false) = suspects.poll_suspects(fence).await {
                return;
            }
        }
    }

    async fn poll_rounds(&self, fence: &Fence, since_round: Option<Duration>) -> Ended {
        let interval = self.poller.config.poll.interval;
        // The previous holder may have polled in this interval already.
        let mut due =
            Instant::now() + since_round.map_or(Duration::ZERO, |since| interval.saturating_sub(since));
        let mut redis_fails = false;
        loop {
            sleep_until(due).await;
            due = Instant::now() + interval;
            match self.poll_round(fence).await {
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
                Err(failure) => log_once(&mut redis_fails, &failure),
            }
        }
    }

    /// None if the lease is lost.
    async fn poll_round(&self, fence: &Fence) -> Result<Option<Round>, StoreError> {
        match self.poller.store.lease(&self.name, self.poller.config.poll.lease, true).await? {
            LeaseOutcome::Held { fence: ours, .. } if ours == *fence => {}
            LeaseOutcome::Held { .. } | LeaseOutcome::Other | LeaseOutcome::Free => return Ok(None),
        }
        self.poller.poll_round(fence, |_, _| {}).await.map(Some)
    }
}

fn log_once(logged: &mut bool, failure: &StoreError) {
    if !std::mem::replace(logged, true) {
        error!(%failure, "cannot poll");
    }
}
