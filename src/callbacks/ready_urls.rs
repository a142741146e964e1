//! Recording-ready URLs in Postgres.
//!
//! Each is stored twice: in `callback_urls` by internal meeting id, since each recording has the URL of its
//! own meeting; and in Scalelite's `callback_data` by meetingID, which has the newest one only. An import
//! looks there second: for meetings that Scalelite created.

use crate::db::advisory_lock::Lock;
use crate::db::{Database, DbError};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use yaml_serde::Value;

/// The `kind` of a callback that announces a recording.
pub const RECORDING_READY: &str = "recording-ready";

/// The key in `callback_data.callback_attributes`.
const ATTRIBUTE: &str = "recording_ready_url";

/// A URL that a client gave with create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyUrl {
    /// The client's meetingID.
    pub meeting_id: String,
    /// BBB's own id of the meeting, and later of its recording; None if the server's response had none.
    pub internal_meeting_id: Option<String>,
    /// The URL to call.
    pub url: String,
    /// ms since 1970: the latest URL of a meeting counts.
    pub at_ms: i64,
}

/// Stores a URL. If the recording is in the index already, creates its callback now. Idempotent.
pub async fn store(db: &Database, ready_url: &ReadyUrl) -> Result<(), DbError> {
    db.run_idempotent(|| store_once(db, ready_url).boxed()).await
}

async fn store_once(db: &Database, ready_url: &ReadyUrl) -> Result<(), DbError> {
    let mut transaction = db.pool().begin().await?;
    if let Some(id) = &ready_url.internal_meeting_id {
        Lock::Announcement.acquire(&mut transaction, id).await?;
        sqlx::query(
                "INSERT INTO callback_urls AS old (internal_meeting_id, url, noted_at) \
                 VALUES ($1, $2, to_timestamp($3::bigint / 1000.0)) \
                 ON CONFLICT (internal_meeting_id) DO UPDATE SET url = excluded.url, noted_at = excluded.noted_at \
                     WHERE old.noted_at <= excluded.noted_at",
            )
            .bind(id)
            .bind(&ready_url.url)
            .bind(ready_url.at_ms)
            .execute(&mut *transaction)
            .await?;
        // The URL may arrive after the recording: Postgres was down.
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
    store_for_scalelite(&mut transaction, ready_url).await?;
    transaction.commit().await?;
    Ok(())
}

/// One row for each meetingID, which may hold other attributes of Scalelite's.
async fn store_for_scalelite(connection: &mut PgConnection, ready_url: &ReadyUrl) -> Result<(), sqlx::Error> {
    Lock::CallbackData.acquire(&mut *connection, &ready_url.meeting_id).await?;
    let newest = newest_callback_data(&mut *connection, &ready_url.meeting_id).await?;
    let statement = match &newest {
        Some(row) if row.updated_ms > ready_url.at_ms => return Ok(()),
        Some(_) => {
            "UPDATE callback_data SET callback_attributes = $2, \
                 updated_at = timestamp 'epoch' + $3::bigint * interval '1 millisecond' \
             WHERE meeting_id = $1 AND id = $4"
        }
        // Scalelite's table may have a unique index on meeting_id.
        None => {
            "INSERT INTO callback_data (meeting_id, callback_attributes, created_at, updated_at) \
             SELECT $1, $2, at, at FROM (SELECT timestamp 'epoch' + $3::bigint * interval '1 millisecond' AS at) x \
             WHERE $4::bigint IS NULL ON CONFLICT DO NOTHING"
        }
    };
    let (id, attributes) = match newest {
        Some(row) => (Some(row.id), row.attributes),
        None => (None, None),
    };
    sqlx::query(statement)
        .bind(&ready_url.meeting_id)
        .bind(with_url(attributes.as_deref(), &ready_url.url))
        .bind(ready_url.at_ms)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// A row of `callback_data`.
struct CallbackData {
    updated_ms: i64,
    id: i64,
    attributes: Option<String>,
}

async fn newest_callback_data(
    connection: &mut PgConnection,
    meeting_id: &str,
) -> Result<Option<CallbackData>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT (extract(epoch FROM updated_at) * 1000)::bigint AS updated_ms, id, callback_attributes \
         FROM callback_data WHERE meeting_id = $1",
    )
    .bind(meeting_id)
    .fetch_all(connection)
    .await?;
    let read = |row: PgRow| {
        Ok(CallbackData {
            updated_ms: row.try_get("updated_ms")?,
            id: row.try_get("id")?,
            attributes: row.try_get("callback_attributes")?,
        })
    };
    let rows = rows.into_iter().map(read).collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(rows.into_iter().max_by_key(|row| (row.updated_ms, row.id)))
}

/// Creates the callback of a recording that is new in the index, in the transaction that adds the recording.
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
        let newest = newest_callback_data(&mut *connection, meeting_id).await?;
        url = newest.and_then(|row| url_in(&row.attributes?));
    }
    let Some(url) = url else { return Ok(()) };
    // A recording that was deleted and imported again has one already.
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
    let found = pairs(attributes)?.into_iter().find(|(key, _)| key.trim_start_matches(':') == ATTRIBUTE)?.1;
    Some(found).filter(|url| !url.trim().is_empty())
}

/// The attributes with this URL in them, as Rails writes a hash with symbols for keys. Keeps the other
/// attributes, unless the text is no such hash.
///
/// By hand, not by yaml_serde: Rails' Psych reads YAML 1.1, in which more plain scalars than yaml_serde
/// quotes are no strings (`:symbol`, `2026-01-31`, `1:30`).
fn with_url(attributes: Option<&str>, url: &str) -> String {
    let mut pairs = attributes.and_then(pairs).unwrap_or_default();
    pairs.retain(|(key, _)| key.trim_start_matches(':') != ATTRIBUTE);
    pairs.push((format!(":{ATTRIBUTE}"), url.to_owned()));
    let mut text = String::from("---\n");
    for (key, value) in pairs {
        text += &format!("{key}: {}\n", if is_plain(&value) { value } else { quoted(&value) });
    }
    text
}

/// A JSON string is a YAML string, except that some characters beyond ASCII are line breaks in YAML.
fn quoted(value: &str) -> String {
    let json = serde_json::Value::from(value).to_string();
    let escaped = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    json.chars().map(escaped).collect()
}

/// Whether YAML reads the value as this string without quotes: true for nearly every URL.
fn is_plain(value: &str) -> bool {
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&()*+,;=%".contains(&b);
    value.starts_with("http") && value.bytes().all(is_harmless) && !value.ends_with(':')
}

/// None unless it is a hash of strings whose keys are names.
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
    fn reads_the_url_that_scalelite_wrote() {
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
    fn writes_a_hash_with_symbols_as_keys() {
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
    fn keeps_the_other_attributes_of_scalelite() {
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
        fn reads_every_url_that_it_wrote(url in "(https?:)?[-:/?#&=.a-z%\\PC]{1,60}", before in "(---\n:a: [a-z]{1,5}\n)?") {
            prop_assume!(!url.trim().is_empty());
            prop_assert_eq!(url_in(&with_url(Some(&before), &url)), Some(url));
        }

        #[test]
        fn reading_never_panics(text in "[-:a-z!&*\\[\\]{}\n \"']{0,60}") {
            let _ = with_url(Some(&text), "u");
        }
    }
}
