//! The archives in their order: ready, waiting until later, being imported.

use crate::recordings::spool::directory::Stamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// What is known of an archive that is waiting or being imported.
#[derive(Default)]
pub(super) struct Known {
    /// What it looked like, and since when.
    pub(super) seen: Option<(Stamp, Instant)>,
    pub(super) failures: u32,
    state: State,
    /// Something happened to it while it was being imported.
    again: bool,
}

#[derive(Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    New,
    Ready,
    Later,
    Running,
}

/// The archives, in order.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) known: HashMap<String, Known>,
    pub(super) ready: VecDeque<String>,
    later: BTreeMap<(Instant, u64), String>,
    count: u64,
}

impl Queue {
    /// An archive is there, or something happened to it.
    pub(super) fn arrived(&mut self, name: String) {
        let known = self.known.entry(name.clone()).or_default();
        match known.state {
            State::Ready => {}
            State::Running => known.again = true,
            State::New | State::Later => {
                known.state = State::Ready;
                self.ready.push_back(name);
            }
        }
    }

    /// It was found in the spool, where it may have been waiting all the time.
    pub(super) fn found(&mut self, name: String) {
        if !self.known.contains_key(&name) {
            self.arrived(name);
        }
    }

    /// The next one to try, and what it looked like the last time.
    pub(super) fn next(&mut self) -> Option<(String, Option<(Stamp, Instant)>)> {
        let name = self.ready.pop_front()?;
        let known = self.known.get_mut(&name)?;
        known.state = State::Running;
        known.again = false;
        Some((name, known.seen))
    }

    /// It must wait.
    pub(super) fn later(&mut self, name: String, after: Duration) {
        let Some(known) = self.known.get_mut(&name) else { return };
        if known.again {
            known.state = State::Ready;
            return self.ready.push_back(name);
        }
        known.state = State::Later;
        self.count += 1;
        self.later.insert((Instant::now() + after, self.count), name);
    }

    /// Nothing is left to do for it, unless it came once more.
    pub(super) fn done(&mut self, name: String) {
        if self.known.remove(&name).is_some_and(|known| known.again) {
            self.arrived(name);
        }
    }

    /// When the next one that waits is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    /// Makes ready what is due.
    pub(super) fn wake(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            let name = entry.remove();
            // It may have been made ready by something that happened to it.
            if let Some(known) = self.known.get_mut(&name)
                && known.state == State::Later
            {
                known.state = State::Ready;
                self.ready.push_back(name);
            }
        }
    }
}

/// What was done since there was last nothing to do.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) began: Option<Instant>,
    pub(super) archives: u64,
    pub(super) formats: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
}

impl Batch {
    /// Says what it was, and begins another.
    pub(super) fn close(&mut self) {
        if let Some(began) = self.began.take() {
            let ms = began.elapsed().as_millis() as u64;
            info!(
                archives = self.archives,
                formats = self.formats,
                bytes = self.bytes,
                failed = self.failed,
                ms,
                "the spool is empty of what can be imported now"
            );
        }
        *self = Batch::default();
    }
}
