//! The archives in their order: ready, delayed, or being imported.

use super::outcome::ImportReport;
use crate::recordings::spool::FileStamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// What an archive looks like, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) stamp: FileStamp,
    pub(super) since: Instant,
}

/// An archive that is waiting or being imported.
#[derive(Default)]
struct QueuedArchive {
    last_seen: Option<Sighting>,
    failures: u32,
    phase: Phase,
    /// It changed while it was being imported.
    changed: bool,
}

#[derive(Default, PartialEq, Eq)]
enum Phase {
    #[default]
    New,
    Ready,
    Delayed,
    Running,
}

/// All archives that are known, by name.
#[derive(Default)]
pub(super) struct ArchiveQueue {
    archives: HashMap<String, QueuedArchive>,
    pub(super) ready: VecDeque<String>,
    /// The number keeps the order of archives that are due at the same instant.
    delayed: BTreeMap<(Instant, u64), String>,
    delays: u64,
}

impl ArchiveQueue {
    /// Adds an archive that arrived or changed.
    pub(super) fn add_changed(&mut self, name: String) {
        let archive = self.archives.entry(name.clone()).or_default();
        match archive.phase {
            Phase::Ready => {}
            Phase::Running => archive.changed = true,
            Phase::New | Phase::Delayed => {
                archive.phase = Phase::Ready;
                self.ready.push_back(name);
            }
        }
    }

    /// Adds an archive that a listing of the spool found, unless it is known.
    pub(super) fn add_listed(&mut self, name: String) {
        if !self.archives.contains_key(&name) {
            self.add_changed(name);
        }
    }

    /// Takes the next archive to import, with what it looked like the last time.
    pub(super) fn start_next(&mut self) -> Option<(String, Option<Sighting>)> {
        let name = self.ready.pop_front()?;
        let archive = self.archives.get_mut(&name)?;
        archive.phase = Phase::Running;
        archive.changed = false;
        Some((name, archive.last_seen))
    }

    pub(super) fn set_last_seen(&mut self, name: &str, sighting: Sighting) {
        if let Some(archive) = self.archives.get_mut(name) {
            archive.last_seen = Some(sighting);
        }
    }

    /// Counts a failure, and returns how many there were before it.
    pub(super) fn count_failure(&mut self, name: &str) -> u32 {
        let archive = self.archives.entry(name.to_owned()).or_default();
        let before = archive.failures;
        archive.failures += 1;
        before
    }

    /// Puts back an archive, to be tried again after `delay`; at once if it changed meanwhile.
    pub(super) fn delay(&mut self, name: String, delay: Duration) {
        let Some(archive) = self.archives.get_mut(&name) else { return };
        if archive.changed {
            archive.phase = Phase::Ready;
            return self.ready.push_back(name);
        }
        archive.phase = Phase::Delayed;
        self.delays += 1;
        self.delayed.insert((Instant::now() + delay, self.delays), name);
    }

    /// Drops an archive that needs nothing more, unless another of its name arrived meanwhile.
    pub(super) fn finish(&mut self, name: String) {
        if self.archives.remove(&name).is_some_and(|archive| archive.changed) {
            self.add_changed(name);
        }
    }

    /// When the next delayed archive is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn make_due_ready(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let name = entry.remove();
            // A change may have made it ready before.
            if let Some(archive) = self.archives.get_mut(&name)
                && archive.phase == Phase::Delayed
            {
                archive.phase = Phase::Ready;
                self.ready.push_back(name);
            }
        }
    }
}

/// Totals since the importer was last idle.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) began: Option<Instant>,
    archives: u64,
    formats: u64,
    bytes: u64,
    pub(super) failed: u64,
}

impl Batch {
    pub(super) fn count_imported(&mut self, report: &ImportReport) {
        self.archives += 1;
        self.formats += report.recordings.iter().map(|(_, formats)| formats.len() as u64).sum::<u64>();
        self.bytes += report.bytes;
    }

    /// Logs the totals, unless they are zero, and starts over.
    pub(super) fn close(&mut self) {
        if let Some(began) = self.began.take()
            && self.archives + self.failed > 0
        {
            info!(
                archives = self.archives,
                formats = self.formats,
                bytes = self.bytes,
                failed = self.failed,
                ms = began.elapsed().as_millis() as u64,
                "batch finished, no archive is ready to import"
            );
        }
        *self = Batch::default();
    }
}
