//! `sl recordings list`, `show`.

use super::super::out::{Out, printable, table};
use super::super::time::utc;
use super::{Session, key_value};
use crate::config::MetaMatch;
use crate::recordings::index::{MetaFilter, MetaValue, Recording, RecordingQuery, ValueFilter};
use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub struct ListArgs {
    /// Only recordings of these meetings (meetingID)
    #[arg(long = "meeting", value_name = "ID")]
    meetings: Vec<String>,
    /// Only recordings in these states, or `any` (default: published, unpublished)
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    /// Only recordings with this metadata; a leading or trailing % matches any text
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = key_value)]
    meta: Vec<(String, String)>,
    /// Maximum number to print; 0 prints all
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

/// The query for the filters of a command: all must match.
pub(super) fn query(meta: &[(String, String)], states: &[String]) -> RecordingQuery {
    let states = match states {
        [] => ValueFilter::OneOf(vec!["published".to_owned(), "unpublished".to_owned()]),
        states if states.iter().any(|state| state == "any") => ValueFilter::Any,
        states => ValueFilter::OneOf(states.to_vec()),
    };
    let meta = meta
        .iter()
        .map(|(key, value)| MetaFilter { key: key.clone(), values: vec![MetaValue::parse(value)] })
        .collect();
    RecordingQuery { states, meta, meta_match: MetaMatch::All, ..RecordingQuery::default() }
}

pub(super) async fn list(session: &Session, args: ListArgs, out: Out) -> anyhow::Result<()> {
    let mut query = query(&args.meta, &args.states);
    query.meeting_ids = ValueFilter::any_if_empty(args.meetings);
    query.limit = (args.limit > 0).then_some(args.limit);
    let mut found = Vec::new();
    let mut pages = session.recordings.index.pages(query);
    while !pages.is_done() {
        found.extend(pages.next().await?);
    }
    if out.json {
        return out.value(&found.iter().map(as_json).collect::<Vec<_>>());
    }
    if found.is_empty() {
        return out.text("No recordings.\n");
    }
    let rows = found.iter().map(|r| {
        let formats: Vec<_> = r.formats.iter().map(|format| format.format.as_str()).collect();
        vec![
            r.record_id.clone(),
            r.meeting_id.clone(),
            r.name.clone().unwrap_or_default(),
            r.state.clone(),
            r.start_ms.map_or(String::new(), utc),
            formats.join(","),
        ]
    });
    out.text(table(&["RECORD ID", "MEETING ID", "NAME", "STATE", "START (UTC)", "FORMATS"], rows))
}

pub(super) async fn show(session: &Session, ids: &[String], out: Out) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for id in ids {
        let record_ids = ValueFilter::OneOf(vec![id.clone()]);
        let query = RecordingQuery { record_ids, ..RecordingQuery::default() };
        let mut pages = session.recordings.index.pages(query);
        let mut found = None;
        // The query matches record ids by prefix.
        while !pages.is_done() && found.is_none() {
            found = pages.next().await?.into_iter().find(|recording| recording.record_id == *id);
        }
        match found {
            Some(recording) => all.push(recording),
            None => bail!("there is no recording {}: see `sl recordings list --state any`", printable(id)),
        }
    }
    if out.json {
        return out.value(&all.iter().map(as_json).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for r in &all {
        text += &format!("{}\n", r.record_id);
        let mut line = |name: &str, value: String| text += &format!("    {name}: {}\n", printable(&value));
        line("meeting", r.meeting_id.clone());
        line("name", r.name.clone().unwrap_or_default());
        line("state", r.state.clone());
        line("protected", r.protected.to_string());
        line("start", r.start_ms.map_or(String::new(), utc));
        line("end", r.end_ms.map_or(String::new(), utc));
        for (key, value) in &r.metadata {
            line(&format!("meta {}", printable(key)), value.clone());
        }
        for format in &r.formats {
            let length = format.length.map_or(String::new(), |minutes| format!(" ({minutes} minutes)"));
            line(&format.format, format!("{}{length}", format.url));
        }
    }
    out.text(text)
}

fn as_json(r: &Recording) -> Value {
    let formats: Vec<_> = r
        .formats
        .iter()
        .map(|f| {
            json!({
                "format": f.format, "url": f.url, "length_minutes": f.length, "size": f.size,
                "processing_time_ms": f.processing_time, "thumbnails": f.thumbnails.len(),
            })
        })
        .collect();
    let metadata: serde_json::Map<_, _> =
        r.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    json!({
        "record_id": r.record_id, "meeting_id": r.meeting_id, "name": r.name, "state": r.state,
        "published": r.published, "protected": r.protected, "start_ms": r.start_ms, "end_ms": r.end_ms,
        "participants": r.participants, "raw_size": r.raw_size, "is_breakout": r.is_breakout,
        "metadata": metadata, "formats": formats,
    })
}
