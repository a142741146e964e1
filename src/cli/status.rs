//! `sl status`: the pool as a table, and what is wrong with it.

use super::exit::ExitStatus;
use super::out::{Out, printable, table};
use super::time::ago;
use super::{RedisUnreachable, Session};
use crate::store::{Brake, PoolWarning, Server, ServerState, StoreError};
use anyhow::bail;
use serde_json::json;
use std::time::Duration;

const HEADINGS: [&str; 11] = [
    "HOSTNAME",
    "STATE",
    "STATUS",
    "MEETINGS",
    "USERS",
    "LARGEST MEETING",
    "VIDEOS",
    "LOAD",
    "BBB VERSION",
    "TAG",
    "ID",
];

/// With `check`, fails if the pool is degraded.
pub async fn status(session: &Session, check: bool, out: Out) -> anyhow::Result<()> {
    let status = PoolStatus::read(session).await?;
    if out.json {
        out.value(&status.json())?
    } else {
        out.text(status.text())?
    }
    match status.problems() {
        problems if check && !problems.is_empty() => {
            bail!(ExitStatus { code: 1, reason: format!("the pool is degraded: {}", problems.join("; ")) })
        }
        _ => Ok(()),
    }
}

/// The exit status of `--check` when the status could not be read.
pub(super) fn unreachable(failure: anyhow::Error) -> anyhow::Error {
    if failure.is::<ExitStatus>() || !(failure.is::<StoreError>() || failure.is::<RedisUnreachable>()) {
        return failure;
    }
    ExitStatus { code: 2, reason: format!("{failure:#}") }.into()
}

struct PoolStatus {
    servers: Vec<Server>,
    brake: Option<Brake>,
    /// The replica that polls now.
    poller: Option<String>,
    /// When the last round began.
    round_ms: Option<u64>,
    warnings: Vec<PoolWarning>,
    now_ms: u64,
    /// Without a round for this long, nobody polls: between two holders the lease is free for a moment, and
    /// `sl poll` needs none.
    late: Duration,
}

impl PoolStatus {
    async fn read(session: &Session) -> anyhow::Result<PoolStatus> {
        let store = &session.store;
        let (poller, round_ms) = store.poller().await?;
        Ok(PoolStatus {
            servers: store.servers().await?,
            brake: store.brake().await?,
            poller,
            round_ms,
            warnings: store.warnings().await?,
            now_ms: store.now_ms().await?,
            late: session.config.poll.interval * 3,
        })
    }

    fn json(&self) -> serde_json::Value {
        let servers = self.servers.iter().map(|s| {
            json!({
                "id": s.at.id,
                "hostname": s.hostname(),
                "state": s.state,
                "online": s.online,
                "meetings": s.meetings,
                "users": s.users,
                "largest_meeting": s.largest_meeting,
                "videos": s.videos,
                "load": s.load,
                "bbb_version": s.bbb_version,
                "tag": s.tag,
            })
        });
        let brake = self.brake.as_ref().map(
            |brake| json!({ "since_ms": brake.since_ms, "failed": brake.failed, "expected": brake.expected }),
        );
        let warnings = self.warnings.iter().map(|w| {
            json!({ "kind": w.subject.0, "subject": w.subject.1, "text": w.text, "since_ms": w.since_ms })
        });
        json!({
            "servers": servers.collect::<Vec<_>>(),
            "brake": brake,
            "warnings": warnings.collect::<Vec<_>>(),
            "poller": { "holder": self.poller, "round_began_ms": self.round_ms },
            "problems": self.problems(),
        })
    }

    fn text(&self) -> String {
        let mut text = if self.servers.is_empty() {
            "No servers yet. Add one: sl servers add URL SECRET\n".to_owned()
        } else {
            table(&HEADINGS, self.servers.iter().map(row))
        };
        let since = |ms: u64| ago(self.now_ms.saturating_sub(ms));
        if let Some(brake) = &self.brake {
            text += &format!(
                "\nWARNING: {} of {} servers have not answered for {}: check the network of the replicas.\n\
                 No server is abandoned until at least half of them answer again.\n",
                brake.failed,
                brake.expected,
                since(brake.since_ms),
            );
        }
        if let Some(unpolled) = self.unpolled() {
            text += &format!("\nWARNING: {unpolled}: is any `sl serve` or `sl poller` running?\n");
        }
        for warning in &self.warnings {
            let (text_of, since) = (warning_text(warning), since(warning.since_ms));
            text += &format!("\nWARNING: {text_of} (for {since})\n");
        }
        text
    }

    /// Set if no replica polls; since when.
    fn unpolled(&self) -> Option<String> {
        let since_round = self.round_ms.map(|ms| self.now_ms.saturating_sub(ms));
        if self.servers.is_empty()
            || self.poller.is_some()
            || since_round.is_some_and(|ms| u128::from(ms) <= self.late.as_millis())
        {
            return None;
        }
        let since = since_round.map_or("ever polled".to_owned(), |ms| format!("polled for {}", ago(ms)));
        Some(format!("no replica has {since}"))
    }

    /// Why the pool is degraded, one reason each; empty if it is healthy.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.servers.is_empty() {
            problems.push("it has no servers".to_owned());
        }
        let used = self.servers.iter().filter(|s| s.state != ServerState::Disabled);
        for server in used.filter(|s| !s.online) {
            problems.push(format!("{} is offline", server.hostname()));
        }
        if self.brake.is_some() {
            problems.push("more than half of the servers do not answer".to_owned());
        }
        problems.extend(self.unpolled());
        problems.extend(self.warnings.iter().map(warning_text));
        problems
    }
}

fn row(server: &Server) -> Vec<String> {
    vec![
        server.hostname(),
        server.state.as_str().to_owned(),
        if server.online { "online" } else { "offline" }.to_owned(),
        server.meetings.to_string(),
        server.users.to_string(),
        server.largest_meeting.to_string(),
        server.videos.to_string(),
        server.load.map_or("unavailable".to_owned(), |load| format!("{load:?}")),
        server.bbb_version.clone().unwrap_or_default(),
        server.tag.clone(),
        server.at.id.clone(),
    ]
}

fn warning_text(warning: &PoolWarning) -> String {
    let text = printable(&warning.text);
    match warning.subject.1.as_str() {
        "" => text,
        subject => format!("{}: {text}", printable(subject)),
    }
}
