//! `sl status`: the pool as a table.

use super::Session;
use super::out::{Out, printable, table};
use super::time::ago;
use serde_json::json;

const HEADINGS: [&str; 10] = [
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
];

pub async fn status(session: &Session, out: Out) -> anyhow::Result<()> {
    let servers = session.store.servers().await?;
    let brake = session.store.brake().await?;
    let (poller, round_ms) = session.store.poller().await?;
    let warnings = session.store.warnings().await?;
    let now = session.store.now_ms().await?;
    if out.json {
        let rows: Vec<_> = servers
            .iter()
            .map(|s| {
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
            })
            .collect();
        let brake = brake.map(
            |brake| json!({ "since_ms": brake.since_ms, "failed": brake.failed, "expected": brake.expected }),
        );
        return out.value(&json!({
            "servers": rows,
            "brake": brake,
            "warnings": warnings.iter().map(|w| json!({
                "kind": w.subject.0, "subject": w.subject.1, "text": w.text, "since_ms": w.since_ms,
            })).collect::<Vec<_>>(),
            "poller": { "holder": poller, "round_began_ms": round_ms },
        }));
    }
    if servers.is_empty() {
        return out.text("No servers yet. Add one: sl servers add URL SECRET\n");
    }
    let rows = servers.iter().map(|s| {
        vec![
            s.hostname(),
            s.state.as_str().to_owned(),
            if s.online { "online" } else { "offline" }.to_owned(),
            s.meetings.to_string(),
            s.users.to_string(),
            s.largest_meeting.to_string(),
            s.videos.to_string(),
            s.load.map_or("unavailable".to_owned(), |load| format!("{load:?}")),
            s.bbb_version.clone().unwrap_or_default(),
            s.tag.clone(),
        ]
    });
    let mut text = table(&HEADINGS, rows);
    if let Some(brake) = brake {
        text += &format!(
            "\nWARNING: {} of {} servers have not answered for {}: check the network of the replicas.\n\
             No server is abandoned until at least half of them answer again.\n",
            brake.failed,
            brake.expected,
            ago(now.saturating_sub(brake.since_ms)),
        );
    }
    // Between two holders the lease is free for a moment; and `sl poll` needs none.
    let late = session.config.poll.interval * 3;
    let since_round = round_ms.map(|ms| now.saturating_sub(ms));
    if poller.is_none() && since_round.is_none_or(|ms| u128::from(ms) > late.as_millis()) {
        let since = since_round.map_or("ever polled".to_owned(), |ms| format!("polled for {}", ago(ms)));
        text += &format!("\nWARNING: no replica has {since}: is any `sl serve` or `sl poller` running?\n");
    }
    for warning in warnings {
        let (subject, since) = (&warning.subject.1, ago(now.saturating_sub(warning.since_ms)));
        let subject = if subject.is_empty() { String::new() } else { format!("{}: ", printable(subject)) };
        text += &format!("\nWARNING: {subject}{} (for {since})\n", printable(&warning.text));
    }
    out.text(text)
}
