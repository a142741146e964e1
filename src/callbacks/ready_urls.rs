//! Whom to tell that a recording is ready: the URL that came with the create of its meeting.
//!
//! It is noted twice: in `callback_urls`, by the meeting that came of the create, since each recording has
//! the URL of its own meeting; and in Scalelite's `callback_data`, by meetingID, where the newest one
//! stands. An import looks there second: for meetings that Scalelite created.

use crate::db::advisory_lock::Lock;
use crate::db::{Database, DbError};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use yaml_serde::Value;

/// The kind of callback that announces a recording.
pub const RECORDING_READY: &str = "recording-ready";

/// As it stands in `callback_data.callback_attributes`.
const KEY: &str = "recording_ready_url";

/// A URL that a client gave with create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyUrl {
    /// The client's meetingID.
    pub meeting_id: String,
    /// BBB's own id for the meeting, which will be its recording's; None if the server did not tell.
    pub internal_meeting_id: Option<String>,
    /// What is to be called.
    pub url: String,
    /// ms since 1970: of two for the same meeting the later one counts.
    pub at_ms: i64,
}

/// Stores a URL. If the recording is in the index already, its callback is created now. Idempotent.
pub async fn store(db: &Database, noted: &ReadyUrl) -> Result<(), DbError> {
    db.run_idempotent(|| store_once(db, noted).boxed()).await
}

async fn store_once(db: &Database, noted: &ReadyUrl) -> Result<(), DbError> {
    let mut transaction = db.pool().begin().await?;
    if let Some(id) = &noted.internal_meeting_id {
        Lock::Announcement.acquire(&mut transaction, id).await?;
        sqlx::query(
                "INSERT INTO callback_urls AS old (internal_meeting_id, url, noted_at) \
                 VALUES ($1, $2, to_timestamp($3::bigint / 1000.0)) \
                 ON CONFLICT (internal_meeting_id) DO UPDATE SET url = excluded.url, noted_at = excluded.noted_at \
                     WHERE old.noted_at <= excluded.noted_at",
            )
            .bind(id)
            .bind(&noted.url)
            .bind(noted.at_ms)
            .execute(&mut *transaction)
            .await?;
        // It came here late: Postgres was away.
        sqlx::query(
            "INSERT INTO callbacks AS old (kind, record_id, meeting_id, url) \
                 SELECT $2, r.record_id, coalesce(r.meeting_id, ''), u.url \
                 FROM recordings r, callback_urls u \
                 WHERE r.record_id = $1 AND r.state IN ('published', 'unpublished') \
                     AND u.internal_meeting_id = $1 \
                 ON CONFLICT (kind, record_id) DO UPDATE SET url = excluded.url WHERE old.state = 'pending'",
        )
        .bind(id)
        .bind(RECORDING_READY)
        .execute(&mut *transaction)
        .await?;
    }
    note_for_scalelite(&mut transaction, noted).await?;
    transaction.commit().await?;
    Ok(())
}

/// One row for each meetingID, with whatever else Scalelite keeps there.
async fn note_for_scalelite(connection: &mut PgConnection, noted: &ReadyUrl) -> Result<(), sqlx::Error> {
    Lock::CallbackData.acquire(&mut *connection, &noted.meeting_id).await?;
    let newest = newest_attributes(&mut *connection, &noted.meeting_id).await?;
    let statement = match &newest {
        Some((updated_ms, ..)) if *updated_ms > noted.at_ms => return Ok(()),
        Some(_) => {
            "UPDATE callback_data SET callback_attributes = $2, \
                 updated_at = timestamp 'epoch' + $3::bigint * interval '1 millisecond' \
             WHERE meeting_id = $1 AND id = $4"
        }
        // Scalelite may have an index of its own that lets a meetingID stand there once.
        None => {
            "INSERT INTO callback_data (meeting_id, callback_attributes, created_at, updated_at) \
             SELECT $1, $2, at, at FROM (SELECT timestamp 'epoch' + $3::bigint * interval '1 millisecond' AS at) x \
             WHERE $4::bigint IS NULL ON CONFLICT DO NOTHING"
        }
    };
    let (id, before) = match newest {
        Some((_, id, attributes)) => (Some(id), attributes),
        None => (None, None),
    };
    sqlx::query(statement)
        .bind(&noted.meeting_id)
        .bind(with_url(before.as_deref(), &noted.url))
        .bind(noted.at_ms)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// When it was written (ms since 1970), its id, and what it says.
type Row = (i64, i64, Option<String>);

async fn newest_attributes(
    connection: &mut PgConnection,
    meeting_id: &str,
) -> Result<Option<Row>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT (extract(epoch FROM updated_at) * 1000)::bigint, id, callback_attributes \
         FROM callback_data WHERE meeting_id = $1",
    )
    .bind(meeting_id)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().max_by_key(|(updated_ms, id, _)| (*updated_ms, *id)))
}

/// Puts up the callback for a recording that was not there before, in the transaction that brings it.
pub async fn announce(
    connection: &mut PgConnection,
    record_id: &str,
    meeting_id: &str,
) -> Result<(), sqlx::Error> {
    Lock::Announcement.acquire(&mut *connection, record_id).await?;
    let mut url: Option<String> =
        sqlx::query_scalar("SELECT url FROM callback_urls WHERE internal_meeting_id = $1")
            .bind(record_id)
            .fetch_optional(&mut *connection)
            .await?;
    if url.is_none() {
        let newest = newest_attributes(&mut *connection, meeting_id).await?;
        url = newest.and_then(|(.., attributes)| url_in(&attributes?));
    }
    let Some(url) = url else { return Ok(()) };
    // There is one already where a recording was deleted and comes back.
    sqlx::query(
        "INSERT INTO callbacks (kind, record_id, meeting_id, url) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (kind, record_id) DO UPDATE SET meeting_id = excluded.meeting_id, url = excluded.url, \
             state = 'pending', created_at = now(), began_at = now(), due_at = now(), lease = NULL, tries = 0, \
             tried_at = NULL, finished_at = NULL, outcome = NULL",
    )
    .bind(RECORDING_READY)
    .bind(record_id)
    .bind(meeting_id)
    .bind(url)
    .execute(connection)
    .await?;
    Ok(())
}

/// The URL in `callback_attributes`: YAML, a hash whose keys are symbols (`:name`) or strings.
fn url_in(attributes: &str) -> Option<String> {
    let found = pairs(attributes)?.into_iter().find(|(key, _)| key.trim_start_matches(':') == KEY)?.1;
    Some(found).filter(|url| !url.trim().is_empty())
}

/// The attributes with this URL in them, as Rails writes a hash with symbols for keys. What else was in them
/// stays, unless it was no such hash.
fn with_url(attributes: Option<&str>, url: &str) -> String {
    let mut pairs = attributes.and_then(pairs).unwrap_or_default();
    pairs.retain(|(key, _)| key.trim_start_matches(':') != KEY);
    pairs.push((format!(":{KEY}"), url.to_owned()));
    let mut text = String::from("---\n");
    for (key, value) in pairs {
        text += &format!("{key}: {}\n", if is_plain(&value) { value } else { quoted(&value) });
    }
    text
}

/// A string in JSON is one in YAML, but for some characters that end lines there.
fn quoted(value: &str) -> String {
    let json = serde_json::Value::from(value).to_string();
    let escaped = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    json.chars().map(escaped).collect()
}

/// Whether YAML takes it for a string, and for this one, without quotes: nearly every URL.
fn is_plain(value: &str) -> bool {
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&()*+,;=%".contains(&b);
    value.starts_with("http") && value.bytes().all(is_harmless) && !value.ends_with(':')
}

/// None if it is no hash of strings, with names for keys.
fn pairs(attributes: &str) -> Option<Vec<(String, String)>> {
    let mut value: Value = yaml_serde::from_str(attributes).ok()?;
    // `!ruby/hash:…` and the like.
    while let Value::Tagged(tagged) = value {
        value = tagged.value;
    }
    let Value::Mapping(mapping) = value else { return None };
    let is_name = |key: &str| {
        let name = key.strip_prefix(':').unwrap_or(key);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    mapping
        .into_iter()
        .map(|pair| match pair {
            (Value::String(key), Value::String(value)) if is_name(&key) => Some((key, value)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_scalelite_wrote_is_read() {
        for text in [
            "---\n:recording_ready_url: https://e.org/ready?a=1&b=2#c\n",
            "---\nrecording_ready_url: https://e.org/ready?a=1&b=2#c\n",
            "---\n:other: x\n:recording_ready_url: 'https://e.org/ready?a=1&b=2#c'\n",
            "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\nrecording_ready_url: https://e.org/ready?a=1&b=2#c\n",
            "---\n:recording_ready_url: \"https://e.org/ready?a=1&b=2#c\"\n",
        ] {
            assert_eq!(url_in(text).as_deref(), Some("https://e.org/ready?a=1&b=2#c"), "{text}");
        }
        for text in
            ["", "---\n", "--- []\n", "---\n:recording_ready_url: \n", "---\n:other: x\n", "{", "--- 1\n"]
        {
            assert_eq!(url_in(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_a_hash_with_symbols() {
        assert_eq!(
            with_url(None, "https://e.org/ready?a=1&b=2#c"),
            "---\n:recording_ready_url: https://e.org/ready?a=1&b=2#c\n"
        );
        assert_eq!(
            with_url(None, "https://e.org/é?a=\"1\""),
            "---\n:recording_ready_url: \"https://e.org/\\U000000e9?a=\\\"1\\\"\"\n"
        );
    }

    #[test]
    fn what_else_scalelite_keeps_there_stays() {
        let text =
            "---\n:analytics_callback_url: https://e.org/a\n:recording_ready_url: https://old.example.org\n";
        let written = with_url(Some(text), "https://e.org/ready");
        assert_eq!(
            written,
            "---\n:analytics_callback_url: https://e.org/a\n:recording_ready_url: https://e.org/ready\n"
        );
        for broken in ["--- []\n", "{", "---\n:a: {b: c}\n", "---\n\"a\\nb\": c\n"] {
            assert_eq!(with_url(Some(broken), "u"), "---\n:recording_ready_url: \"u\"\n", "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_url_survives(url in "(https?:)?[-:/?#&=.a-z%\\PC]{1,60}", before in "(---\n:a: [a-z]{1,5}\n)?") {
            prop_assume!(!url.trim().is_empty());
            prop_assert_eq!(url_in(&with_url(Some(&before), &url)), Some(url));
        }

        #[test]
        fn reading_never_panics(text in "[-:a-z!&*\\[\\]{}\n \"']{0,60}") {
            let _ = with_url(Some(&text), "u");
        }
    }
}
