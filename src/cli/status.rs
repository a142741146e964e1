//! `sl status`: the pool as a table.

use super::Session;
use super::out::{Out, table};
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
        return out.value(&rows);
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
    out.text(table(&HEADINGS, rows))
}
