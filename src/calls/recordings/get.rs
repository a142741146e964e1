//! getRecordings: what the index has, newest first.

use super::xml::Writer;
use super::{Recordings, list};
use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::calls::{ApiRequest, CallResponse, CallResult, TruncatedStream};
use crate::config::RecordingsConfig;
use crate::db::DbError;
use crate::recordings::index::{MetaFilter, MetaValue, Pages, Recording, RecordingQuery};
use bytes::Bytes;
use futures_util::future::try_join;
use tokio::sync::mpsc;

const HEAD: &str = "<response><returncode>SUCCESS</returncode><recordings>";
const END: &str = "</recordings>";
const TAIL: &str = "</response>";
const NONE: &str = "<messageKey>noRecordings</messageKey>\
    <message>There are not recordings for the meetings</message>";

/// Takes meetingID, recordID, state (lists), `meta_` filters, offset and limit. Answers the recordings,
/// as a stream where they do not fit on one page; with limit also how many there are without it.
pub(in crate::calls) async fn get_recordings(app: &App, request: ApiRequest) -> CallResult {
    let config = &app.config.recordings;
    let Some(recordings) = &app.recordings else { return Ok(none(None)) };
    let query = query(config, &request.params)?;
    let (pages, first, total) = begin(recordings, query).await?;
    if first.is_empty() {
        return Ok(none(total));
    }
    let writer = Writer { base_url: request.base_url, protect: config.protected_enabled };
    let mut out = Vec::with_capacity(first.len() * 2048);
    out.extend_from_slice(HEAD.as_bytes());
    write(app, &writer, &first, &mut out).await?;
    if pages.is_done() {
        finish(&mut out, total);
        return Ok(CallResponse::Xml(Bytes::from(out)));
    }
    // At most three pages are in memory: one being sent, one waiting, one being made.
    let (send, rest) = mpsc::channel(1);
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(failure) = stream(&app, &writer, pages, total, &send).await {
            tracing::error!(%failure, "an answer to getRecordings is cut off");
            let _ = send.send(Err(TruncatedStream)).await;
        }
    });
    Ok(CallResponse::XmlStream { first_chunks: vec![Bytes::from(out)], rest })
}

async fn begin(
    recordings: &Recordings,
    query: RecordingQuery,
) -> Result<(Pages, Vec<Recording>, Option<i64>), ApiError> {
    let total = async {
        match query.limit {
            Some(_) => match recordings.index.total(&query).await {
                Ok(total) => Ok(Some(total)),
                // Metadata that hundreds of thousands have: rather the page without their number than none.
                Err(DbError::Timeout) => {
                    tracing::warn!(
                        "recordings could not be counted in time: an answer goes without totalElements"
                    );
                    Ok(None)
                }
                Err(failure) => Err(failure),
            },
            None => Ok(None),
        }
    };
    let mut pages = recordings.index.pages(query.clone());
    let (first, total) = try_join(pages.next(), total).await?;
    Ok((pages, first, total))
}

async fn stream(
    app: &App,
    writer: &Writer,
    mut pages: Pages,
    total: Option<i64>,
    to: &mpsc::Sender<Result<Bytes, TruncatedStream>>,
) -> Result<(), ApiError> {
    while !pages.is_done() {
        let page = pages.next().await?;
        let mut out = Vec::with_capacity(page.len() * 2048 + 64);
        write(app, writer, &page, &mut out).await?;
        if pages.is_done() {
            finish(&mut out, total);
        }
        // Nobody reads any more.
        if to.send(Ok(Bytes::from(out))).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A page. The tokens of its links are in Redis before anybody sees them.
async fn write(app: &App, writer: &Writer, page: &[Recording], out: &mut Vec<u8>) -> Result<(), ApiError> {
    let mut tokens = Vec::new();
    for recording in page {
        writer.recording(out, recording, &mut tokens);
    }
    if !tokens.is_empty() {
        app.store.put_playback_tokens(&tokens, app.config.recordings.token_timeout).await?;
    }
    Ok(())
}

fn finish(out: &mut Vec<u8>, total: Option<i64>) {
    out.extend_from_slice(END.as_bytes());
    if let Some(total) = total {
        crate::bbb::xml_writer::plain(out, "totalElements", total);
    }
    out.extend_from_slice(TAIL.as_bytes());
}

fn none(total: Option<i64>) -> CallResponse {
    let total = total.map_or(String::new(), |total| format!("<totalElements>{total}</totalElements>"));
    format!("{HEAD}{END}{NONE}{total}{TAIL}").into()
}

/// What the parameters ask for.
fn query(config: &RecordingsConfig, params: &Params) -> Result<RecordingQuery, ApiError> {
    let (meetings, records) = (list(params, "meetingID"), list(params, "recordID"));
    if config.must_filter && meetings.is_none() && records.is_none() {
        return Err(ApiError::MissingFilter);
    }
    // A list of nothing but commas names no recording, which is not the same as no list.
    let named = |list: Option<Vec<String>>| match list {
        Some(list) if list.is_empty() => vec!["\0".to_owned()],
        list => list.unwrap_or_default(),
    };
    let states = match list(params, "state") {
        None => Some(vec!["published".to_owned(), "unpublished".to_owned()]),
        Some(states) if states.iter().any(|state| state.eq_ignore_ascii_case("any")) => None,
        Some(states) => Some(states.iter().map(|state| state.to_ascii_lowercase()).collect()),
    };
    let meta = params
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("meta_")?, value.unwrap_or_default())))
        .map(|(key, value)| MetaFilter {
            key: key.to_owned(),
            values: value.split(',').map(|part| MetaValue::parse(part.trim())).collect(),
        })
        .collect();
    let number = |name: &str| params.present(name).and_then(|text| text.trim().parse::<u32>().ok());
    Ok(RecordingQuery {
        meeting_ids: named(meetings),
        record_ids: named(records),
        states,
        meta,
        meta_match: config.meta_match,
        offset: number("offset").unwrap_or(0),
        before_ms: None,
        limit: number("limit").map(|limit| limit.clamp(1, 100)),
    })
}
