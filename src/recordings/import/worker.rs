//! Which archive when, and how many at once. Archives are told of by inotify, where the kernel knows,
//! and found by looking through the spool now and then, which works on NFS too. None holds up the
//! others: what must wait (still growing, claimed elsewhere, disk full) is looked at again later.

use super::Importer;
use super::archive::ImportError;
use super::attempt::Outcome;
use super::queue::{Batch, Queue};
use crate::config::Config;
use crate::net::backoff::exponential_backoff;
use crate::recordings::Recordings;
use crate::recordings::spool::directory as spool;
use crate::recordings::spool::{Spool, is_archive, receive};
use crate::recordings::unpack::Watch;
use futures_util::FutureExt;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at};
use tracing::{debug, info, warn};

/// An archive that another importer works on is looked at again after this.
const BUSY: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// What failed is tried again after 1, 2, 4, … seconds, at most this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Without Postgres nothing can be done: it is asked at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Imports what arrives until `stopped`; then finishes what is in hand, or lets go of it cleanly, within
/// SHUTDOWN_GRACE.
pub async fn run(importer: Importer, config: &Config, stopped: watch::Receiver<bool>) {
    // Its tasks stay on this thread.
    LocalSet::new().run_until(work_through(importer, config, stopped)).await;
}

async fn work_through(importer: Importer, config: &Config, mut stopped: watch::Receiver<bool>) {
    spool::ignore_lease_signals();
    let settle = config.import.settle;
    let (told, mut events) = mpsc::unbounded_channel();
    let mut watcher = None;
    let mut queue = Queue::default();
    let mut tasks: JoinSet<(String, Outcome)> = JoinSet::new();
    let mut sweeps: JoinSet<()> = JoinSet::new();
    let mut watches: HashMap<String, Arc<Watch>> = HashMap::new();
    let mut batch = Batch::default();
    let mut failures = 0;
    let mut paused = Instant::now();
    let mut scans = interval(config.import.poll_interval);
    scans.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What the kernel tells is not all: there was nobody to be told, or it was too much.
    let mut look = true;
    info!(spool = %importer.spool.directory().display(), workers = config.import.workers, "importing");
    loop {
        queue.wake();
        while tasks.len() < config.import.workers && Instant::now() >= paused {
            let Some((name, seen)) = queue.next() else { break };
            let watch = Arc::new(Watch::default());
            watches.insert(name.clone(), watch.clone());
            batch.began.get_or_insert_with(Instant::now);
            let importer = importer.clone();
            tasks.spawn_local(async move {
                let attempt = AssertUnwindSafe(importer.attempt(&name, seen, settle, watch));
                let outcome = attempt.catch_unwind().await.unwrap_or_else(|_| {
                    let mistake = "a mistake of this program: the import panicked";
                    Outcome::Postponed(ImportError::Passing(mistake.into()))
                });
                (name, outcome)
            });
        }
        if tasks.is_empty() && queue.ready.is_empty() {
            match batch.archives + batch.failed {
                0 => batch = Batch::default(),
                _ => batch.close(),
            }
        }
        let wake = queue.due().into_iter().chain((Instant::now() < paused).then_some(paused)).min();
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(name) = events.recv() => match name {
                Some(name) => queue.arrived(name),
                None => {
                    look = true;
                    scans.reset_immediately();
                }
            },
            _ = scans.tick() => {
                if watcher.is_none() {
                    watcher = start_watching(&importer.spool, told.clone());
                    look |= watcher.is_some();
                }
                if look || config.import.poll {
                    look = false;
                    importer.scan().await.into_iter().for_each(|name| queue.found(name));
                    while sweeps.try_join_next().is_some() {}
                    if sweeps.is_empty() {
                        let importer = importer.clone();
                        sweeps.spawn_local(async move { importer.sweep().await });
                    }
                }
            }
            Some(done) = tasks.join_next() => {
                // Nobody aborts them, and panics are caught.
                let Ok((name, outcome)) = done else { continue };
                watches.remove(&name);
                if !matches!(outcome, Outcome::Postponed(ImportError::Index(_))) {
                    failures = 0;
                }
                match outcome {
                    Outcome::Gone => queue.done(name),
                    Outcome::Busy => queue.later(name, BUSY),
                    Outcome::Growing(stamp, since) => {
                        if let Some(known) = queue.known.get_mut(&name) {
                            known.seen = Some((stamp, since));
                        }
                        queue.later(name, settle);
                    }
                    Outcome::Imported(report) => {
                        batch.archives += 1;
                        batch.formats += report.recordings.iter().map(|(_, f)| f.len() as u64).sum::<u64>();
                        batch.bytes += report.bytes;
                        queue.done(name);
                    }
                    Outcome::Quarantined(reasons) => {
                        warn!(archive = name, reason = reasons.join("; "), "a bad archive: it is in failed/ now");
                        batch.failed += 1;
                        queue.done(name);
                    }
                    Outcome::Postponed(ImportError::Index(error)) => {
                        let pause = exponential_backoff(failures, FIRST_WAIT, LONGEST_PAUSE);
                        failures += 1;
                        paused = Instant::now() + pause;
                        warn!(archive = name, %error, "waiting for the index, for {pause:?}");
                        queue.later(name, pause);
                    }
                    Outcome::Postponed(error) => {
                        let known = queue.known.entry(name.clone()).or_default();
                        let wait = exponential_backoff(known.failures, FIRST_WAIT, LONGEST_WAIT);
                        known.failures += 1;
                        warn!(archive = name, %error, "not imported: it stays, and is tried again in {wait:?}");
                        queue.later(name, wait);
                    }
                }
            }
            () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => {}
        }
    }
    drop(watcher);
    sweeps.abort_all();
    finish(tasks, &watches, config.listen.shutdown_grace).await;
}

/// Most of the grace is for finishing, the rest for letting go.
async fn finish(
    mut tasks: JoinSet<(String, Outcome)>,
    watches: &HashMap<String, Arc<Watch>>,
    grace: Duration,
) {
    let deadline = Instant::now() + grace;
    let all = async |tasks: &mut JoinSet<_>| while tasks.join_next().await.is_some() {};
    if timeout(grace.mul_f32(0.7), all(&mut tasks)).await.is_err() {
        info!(archives = tasks.len(), "letting go of what cannot be finished in time: it stays in the spool");
        watches.values().for_each(|watch| watch.stop());
        if timeout_at(deadline, all(&mut tasks)).await.is_err() {
            warn!("SHUTDOWN_GRACE is over: what is left behind will be cleared by the next run");
            tasks.abort_all();
        }
    }
}

/// Tells of archives by name, and None where the spool must be looked through.
fn start_watching(spool: &Spool, told: mpsc::UnboundedSender<Option<String>>) -> Option<RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return drop(told.send(None)) };
        if event.need_rescan() {
            return drop(told.send(None));
        }
        let matters = matches!(
            event.kind,
            EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
                | EventKind::Create(_)
        );
        if matters {
            let names = event.paths.iter().filter_map(|path| path.file_name()?.to_str());
            names.filter(|name| is_archive(name)).for_each(|name| drop(told.send(Some(name.to_owned()))));
        }
    };
    let watching = notify::recommended_watcher(tell).and_then(|mut watcher| {
        watcher.watch(spool.directory(), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching.inspect_err(|error| debug!(%error, "no inotify: the spool is looked through now and then")).ok()
}

impl Importer {
    async fn scan(&self) -> Vec<String> {
        let spool = self.spool.clone();
        match tokio::task::spawn_blocking(move || spool.list()).await {
            Ok(Ok(names)) => names,
            Ok(Err(error)) => {
                warn!(%error, spool = %self.spool.directory().display(), "cannot look through the spool");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Clears what dead importers left of archives and recordings that nobody will come back to.
    async fn sweep(&self) {
        if let Err(error) = self.work.sweep(&self.claims).await {
            debug!(%error, "cannot look for leftovers");
        }
        let spool = self.spool.directory().to_owned();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || receive::sweep(&spool)).await {
            debug!(%error, "cannot look for uploads that were given up");
        }
        let recordings = Recordings { index: self.index.clone(), storage: self.storage.clone() };
        let Ok(left) = self.storage.leftovers().await else { return };
        for id in left {
            // Who holds the lock is alive, and clears up himself.
            if let Ok(Ok(locked)) = timeout(Duration::from_secs(2), self.index.lock(&id)).await
                && let Err(error) = recordings.put_right(locked).await
            {
                warn!(%error, record_id = %id, "cannot clear what was cut off; it is tried again");
            }
        }
    }
}
