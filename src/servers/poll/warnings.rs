//! What a round of polls has to tell the operators: written to Redis for `sl status`, and logged once when a
//! condition appears and once when it is gone, whichever replica polls.

use super::{Poller, Round};
use crate::store::{MeetingKey, PoolWarning, Server, StoreError, WarningSubject};
use std::collections::BTreeMap;
use tracing::{info, warn};

/// Warnings kept of one round. They name servers and meetings, and a hostile server lists what it likes.
const MAX_WARNINGS: usize = 100;

/// Longest subject and text of a warning, characters.
const MAX_WARNING_CHARS: usize = 500;

impl Round {
    /// Warns of a condition that this round found. `kind` is a short word in kebab case, the same for all
    /// conditions of that kind; `subject` the id of a server or a meeting, or empty for the whole pool; `text`
    /// says what is wrong and what to do.
    pub fn warn(&mut self, kind: &'static str, subject: &str, text: impl Into<String>) {
        let clip = |text: &str| -> String {
            let text = text.chars().take(MAX_WARNING_CHARS);
            text.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
        };
        let key = (kind.to_owned(), clip(subject));
        if self.warnings.len() < MAX_WARNINGS || self.warnings.contains_key(&key) {
            self.warnings.insert(key, clip(&text.into()));
        }
    }
}

impl Round {
    /// Warns of meetings that run without a record and are not the pool's.
    pub(super) fn warn_of_strays(&mut self, server: &Server, strays: &[String]) {
        if let Some(first) = strays.first() {
            let text = format!(
                "{} meetings run on {} without a record, such as {first}: see `sl meetings --strays`",
                strays.len(),
                server.hostname()
            );
            self.warn("strays", &server.at.id, text);
        }
    }

    /// Warns of meetings that run on this server although their record names another one that runs them too.
    pub(super) fn warn_of_copies(
        &mut self,
        server: &Server,
        elsewhere: &[(MeetingKey, String)],
        servers: &[Server],
    ) {
        for (meeting, recorded_on) in elsewhere {
            let other = servers.iter().find(|s| s.at.id == *recorded_on).map(Server::hostname);
            let text = format!(
                "the meeting runs on two servers: {} ({recorded_on}), where its record is, and {} ({}): end \
                 the copy there when its participants have left it",
                other.unwrap_or_default(),
                server.hostname(),
                server.at.id
            );
            self.warn("meeting-on-two-servers", meeting.as_str(), text);
        }
    }
}

impl Poller {
    /// Warns if no server can take a meeting.
    pub(super) async fn warn_without_candidates(
        &self,
        servers: usize,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        if servers == 0 {
            let text =
                "the pool has no server, so every create fails: add one with `sl servers add URL SECRET`";
            round.warn("no-servers", "", text);
        } else if self.store.candidates().await? == 0 {
            let text = "no server is enabled and online, so every create fails: see `sl servers`";
            round.warn("no-candidate", "", text);
        }
        Ok(())
    }

    /// Warns if another program polls, too.
    pub(super) async fn warn_of_foreign_poller(&self, round: &mut Round) -> Result<(), StoreError> {
        if let Some(server) = self.store.foreign_poller().await? {
            let text = "another program changes what only a poller writes: stop Scalelite's poller, or meetings \
                        may be created on two servers";
            round.warn("foreign-poller", &server, text);
        }
        Ok(())
    }

    /// Warns if Redis may lose the state. Not where it does not say: managed ones refuse some commands.
    pub(super) async fn warn_of_redis_settings(&self, round: &mut Round) {
        let Ok(settings) = self.store.redis_settings().await else { return };
        if let Some(policy) = settings.evicts {
            let text = format!(
                "Redis deletes keys when its memory is full (maxmemory-policy {policy}), and with them meetings and \
                 servers: set maxmemory-policy noeviction"
            );
            round.warn("redis-evicts", "", text);
        }
        if settings.is_persistent == Some(false) {
            let text = "Redis keeps nothing over a restart, which then empties the pool: set appendonly yes, or save";
            round.warn("redis-not-persistent", "", text);
        }
    }

    /// Replaces the warnings of the previous round, and logs what has changed.
    pub(super) async fn publish_warnings(&self, round: &Round, now_ms: u64) -> Result<(), StoreError> {
        let mut before: BTreeMap<WarningSubject, PoolWarning> = BTreeMap::new();
        for warning in self.store.warnings().await? {
            before.insert(warning.subject.clone(), warning);
        }
        let mut warnings = Vec::with_capacity(round.warnings.len());
        for (subject, text) in &round.warnings {
            let since_ms = match before.remove(subject) {
                Some(known) => known.since_ms,
                None => {
                    warn!(kind = subject.0, subject = subject.1, "{text}");
                    now_ms
                }
            };
            warnings.push(PoolWarning { subject: subject.clone(), text: text.clone(), since_ms });
        }
        for gone in before.into_values() {
            info!(kind = gone.subject.0, subject = gone.subject.1, "no longer: {}", gone.text);
        }
        self.store.write_warnings(&warnings, self.config.poll.interval * 3).await
    }
}
