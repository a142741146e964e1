//! Schedules the imports: which archive, when, how many in parallel. inotify announces archives, where the kernel
//! supports it; listing the spool periodically finds the rest, on NFS too. No archive holds up the others:
//! one that must wait (still being written, claimed elsewhere, disk full) is tried again later.

use super::Importer;
use super::inotify::{self, SpoolEvent};
use super::outcome::{ArchiveOutcome, ImportError};
use super::queue::{ArchiveQueue, Batch};
use super::recovery::recover_leftovers;
use crate::config::{Config, ImportConfig};
use crate::net::backoff::exponential_backoff;
use crate::recordings::spool::write_detection;
use crate::recordings::unpack::UnpackControl;
use futures_util::FutureExt;
use notify::RecommendedWatcher;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

/// Delay before retrying an archive that another importer has claimed.
const BUSY_RETRY_DELAY: Duration = Duration::from_secs(2);
/// A failed archive is retried after 1, 2, 4, … seconds, at most `MAX_RETRY_DELAY`.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// Without Postgres no archive can be imported: all imports pause, for at most this long.
const MAX_INDEX_PAUSE: Duration = Duration::from_secs(10);
/// The part of SHUTDOWN_GRACE in which imports may finish; the rest is for stopping them cleanly.
const FINISHING_SHARE_OF_GRACE: f32 = 0.7;

/// Imports archives until `stop`; then finishes those in flight, or stops them cleanly, within
/// SHUTDOWN_GRACE.
pub async fn run(importer: Importer, config: &Config, stop: watch::Receiver<bool>) {
    write_detection::ignore_lease_signals();
    // The jobs stay on this thread.
    let local = LocalSet::new();
    local.run_until(Worker::new(importer, config).run(stop, config.listen.shutdown_grace)).await;
}

struct Worker {
    importer: Importer,
    settings: ImportConfig,
    queue: ArchiveQueue,
    jobs: JoinSet<(String, ArchiveOutcome)>,
    /// Of the jobs, by archive.
    controls: HashMap<String, Arc<UnpackControl>>,
    batch: Batch,
    index_failures: u32,
    paused_until: Instant,
    inotify: Option<RecommendedWatcher>,
    /// inotify may have missed archives: it was not running, or its queue overflowed.
    needs_listing: bool,
    recovery: JoinSet<()>,
}

impl Worker {
    fn new(importer: Importer, config: &Config) -> Worker {
        Worker {
            importer,
            settings: config.import.clone(),
            queue: ArchiveQueue::default(),
            jobs: JoinSet::new(),
            controls: HashMap::new(),
            batch: Batch::default(),
            index_failures: 0,
            paused_until: Instant::now(),
            inotify: None,
            needs_listing: true,
            recovery: JoinSet::new(),
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let (events_sender, mut events) = mpsc::unbounded_channel();
        let mut listings = interval(self.settings.poll_interval);
        listings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let spool = self.importer.spool.directory().display();
        info!(%spool, workers = self.settings.workers, "importer started");
        loop {
            self.start_jobs();
            self.close_batch_if_idle();
            let wake_at = self.next_wake();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(event) = events.recv() => match event {
                    SpoolEvent::Arrived(name) => self.queue.add_changed(name),
                    SpoolEvent::Overflow => {
                        self.needs_listing = true;
                        listings.reset_immediately();
                    }
                },
                _ = listings.tick() => self.list_spool(&events_sender).await,
                Some(done) = self.jobs.join_next() => {
                    // No job is aborted before the shutdown, and panics are caught.
                    if let Ok((name, outcome)) = done {
                        self.record_outcome(name, outcome);
                    }
                }
                () = async { sleep_until(wake_at.unwrap_or_else(Instant::now)).await }, if wake_at.is_some() => {}
            }
        }
        self.shut_down(grace).await;
    }

    fn start_jobs(&mut self) {
        self.queue.make_due_ready();
        while self.jobs.len() < self.settings.workers && Instant::now() >= self.paused_until {
            let Some((name, last_seen)) = self.queue.start_next() else { break };
            let control = Arc::new(UnpackControl::default());
            self.controls.insert(name.clone(), control.clone());
            self.batch.began.get_or_insert_with(Instant::now);
            let importer = self.importer.clone();
            self.jobs.spawn_local(async move {
                let attempt = AssertUnwindSafe(importer.import_from_spool(&name, last_seen, control));
                let result = attempt.catch_unwind().await.unwrap_or_else(|_| {
                    Err(ImportError::Transient("internal error: the import panicked".into()))
                });
                (name, result.unwrap_or_else(ArchiveOutcome::from))
            });
        }
    }

    fn close_batch_if_idle(&mut self) {
        if self.jobs.is_empty() && self.queue.ready.is_empty() {
            self.batch.close();
        }
    }

    /// When to start jobs again if nothing happens before.
    fn next_wake(&self) -> Option<Instant> {
        let pause_end = (Instant::now() < self.paused_until).then_some(self.paused_until);
        self.queue.next_due().into_iter().chain(pause_end).min()
    }

    async fn list_spool(&mut self, events: &mpsc::UnboundedSender<SpoolEvent>) {
        if self.inotify.is_none() {
            self.inotify = inotify::start(&self.importer.spool, events.clone());
            self.needs_listing |= self.inotify.is_some();
        }
        if !self.needs_listing && !self.settings.poll {
            return;
        }
        self.needs_listing = false;
        let spool = self.importer.spool.clone();
        match tokio::task::spawn_blocking(move || spool.list()).await {
            Ok(Ok(names)) => names.into_iter().for_each(|name| self.queue.add_listed(name)),
            Ok(Err(error)) => {
                let spool = self.importer.spool.directory().display();
                warn!(%error, %spool, "cannot list the spool");
            }
            Err(_) => {}
        }
        while self.recovery.try_join_next().is_some() {}
        if self.recovery.is_empty() {
            let importer = self.importer.clone();
            self.recovery.spawn_local(async move { recover_leftovers(&importer).await });
        }
    }

    fn record_outcome(&mut self, name: String, outcome: ArchiveOutcome) {
        self.controls.remove(&name);
        if !matches!(outcome, ArchiveOutcome::Postponed(ImportError::Index(_))) {
            self.index_failures = 0;
        }
        match outcome {
            ArchiveOutcome::Gone => self.queue.finish(name),
            ArchiveOutcome::Busy => self.queue.delay(name, BUSY_RETRY_DELAY),
            ArchiveOutcome::Incomplete(sighting) => {
                self.queue.set_last_seen(&name, sighting);
                self.queue.delay(name, self.settings.settle);
            }
            ArchiveOutcome::Imported(report) => {
                self.batch.count_imported(&report);
                self.queue.finish(name);
            }
            ArchiveOutcome::Quarantined(reasons) => {
                warn!(archive = name, reason = reasons.join("; "), "bad archive, moved to failed/");
                self.batch.failed += 1;
                self.queue.finish(name);
            }
            ArchiveOutcome::Postponed(ImportError::Index(error)) => {
                let pause = exponential_backoff(self.index_failures, MIN_RETRY_DELAY, MAX_INDEX_PAUSE);
                self.index_failures += 1;
                self.paused_until = Instant::now() + pause;
                warn!(archive = name, %error, "index unavailable, imports pause for {pause:?}");
                self.queue.delay(name, pause);
            }
            ArchiveOutcome::Postponed(error) => {
                let failures = self.queue.count_failure(&name);
                let delay = exponential_backoff(failures, MIN_RETRY_DELAY, MAX_RETRY_DELAY);
                warn!(archive = name, %error, "import failed, archive stays in the spool, retry in {delay:?}");
                self.queue.delay(name, delay);
            }
        }
    }

    /// Lets imports finish for most of the grace, then stops those that are left.
    async fn shut_down(mut self, grace: Duration) {
        drop(self.inotify.take());
        self.recovery.abort_all();
        let deadline = Instant::now() + grace;
        let all_done = async |jobs: &mut JoinSet<_>| while jobs.join_next().await.is_some() {};
        if timeout(grace.mul_f32(FINISHING_SHARE_OF_GRACE), all_done(&mut self.jobs)).await.is_ok() {
            return;
        }
        info!(archives = self.jobs.len(), "stopping unfinished imports; their archives stay in the spool");
        self.controls.values().for_each(|control| control.stop());
        if timeout_at(deadline, all_done(&mut self.jobs)).await.is_err() {
            warn!("SHUTDOWN_GRACE is over; the next run removes what unfinished imports leave behind");
            self.jobs.abort_all();
        }
    }
}
