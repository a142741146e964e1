//! getRecordings: recordings from the index, newest first.

use super::xml::RecordingWriter;
use super::{Recordings, comma_list};
use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::calls::{ApiRequest, CallResponse, CallResult, TruncatedStream};
use crate::config::RecordingsConfig;
use crate::db::DbError;
use crate::recordings::index::{
    MetaFilter, MetaValue, Recording, RecordingPages, RecordingQuery, ValueFilter,
};
use crate::telemetry::permit_log;
use bytes::Bytes;
use futures_util::future::try_join;
use tokio::sync::mpsc;

/// Usual size of one recording in the response, to allocate the buffer.
const RECORDING_XML_BYTES: usize = 2048;

/// Limit of the metadata filters of one request (this project's decision): each is a part of the statement, whose
/// length grows with the square of their number.
const MAX_META_FILTERS: usize = 100;

const RESPONSE_START: &str = "<response><returncode>SUCCESS</returncode><recordings>";
const RECORDINGS_END: &str = "</recordings>";
const RESPONSE_END: &str = "</response>";
const NO_RECORDINGS: &str = "<messageKey>noRecordings</messageKey>\
    <message>There are not recordings for the meetings</message>";

/// Takes meetingID, recordID, state (lists), `meta_` filters, offset and limit. Returns the recordings, as a
/// stream if they do not fit on one page; with limit, also the total without it.
pub(in crate::calls) async fn get_recordings(app: &App, request: ApiRequest) -> CallResult {
    let config = &app.config.recordings;
    let Some(recordings) = &app.recordings else { return Ok(no_recordings(None)) };
    let query = parse_query(config, &request.params)?;
    let (pages, first, total) = fetch_first_page(recordings, query).await?;
    if first.is_empty() {
        return Ok(no_recordings(total));
    }
    let base_url = app.config.playback.base_url(request.base_url);
    let writer = RecordingWriter { base_url, protect: config.protected_enabled };
    let mut out = Vec::with_capacity(first.len() * RECORDING_XML_BYTES);
    out.extend_from_slice(RESPONSE_START.as_bytes());
    write_page(app, &writer, &first, &mut out).await?;
    if pages.is_done() {
        write_end(&mut out, total);
        return Ok(CallResponse::Xml(Bytes::from(out)));
    }
    // At most three pages are in memory: one being sent, one queued, one being written.
    let (send, rest) = mpsc::channel(1);
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(failure) = stream_pages(&app, &writer, pages, total, &send).await {
            if let Some(permit) = permit_log("getRecordings: truncated", "") {
                tracing::error!(%failure, suppressed = permit.suppressed, "response to getRecordings truncated");
            }
            let _ = send.send(Err(TruncatedStream)).await;
        }
    });
    Ok(CallResponse::XmlStream { first_chunks: vec![Bytes::from(out)], rest })
}

async fn fetch_first_page(
    recordings: &Recordings,
    query: RecordingQuery,
) -> Result<(RecordingPages, Vec<Recording>, Option<i64>), ApiError> {
    let total = async {
        match query.limit {
            Some(_) => match recordings.index.total(&query).await {
                Ok(total) => Ok(Some(total)),
                // Filters that match hundreds of thousands: a page without totalElements is better than none.
                Err(DbError::Timeout) => {
                    if let Some(permit) = permit_log("getRecordings: count", "") {
                        let suppressed = permit.suppressed;
                        tracing::warn!(
                            suppressed,
                            "counting recordings timed out: response without totalElements"
                        );
                    }
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

async fn stream_pages(
    app: &App,
    writer: &RecordingWriter,
    mut pages: RecordingPages,
    total: Option<i64>,
    to: &mpsc::Sender<Result<Bytes, TruncatedStream>>,
) -> Result<(), ApiError> {
    while !pages.is_done() {
        let page = pages.next().await?;
        let mut out = Vec::with_capacity(page.len() * RECORDING_XML_BYTES + 64);
        write_page(app, writer, &page, &mut out).await?;
        if pages.is_done() {
            write_end(&mut out, total);
        }
        // The client has gone.
        if to.send(Ok(Bytes::from(out))).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes a page. Stores the tokens of its links in Redis before the client gets them.
async fn write_page(
    app: &App,
    writer: &RecordingWriter,
    page: &[Recording],
    out: &mut Vec<u8>,
) -> Result<(), ApiError> {
    let mut tokens = Vec::new();
    for recording in page {
        writer.write(out, recording, &mut tokens);
    }
    if !tokens.is_empty() {
        app.store.put_playback_tokens(&tokens, app.config.recordings.token_timeout).await?;
    }
    Ok(())
}

fn write_end(out: &mut Vec<u8>, total: Option<i64>) {
    out.extend_from_slice(RECORDINGS_END.as_bytes());
    if let Some(total) = total {
        crate::bbb::xml_writer::plain(out, "totalElements", total);
    }
    out.extend_from_slice(RESPONSE_END.as_bytes());
}

fn no_recordings(total: Option<i64>) -> CallResponse {
    let total = total.map_or(String::new(), |total| format!("<totalElements>{total}</totalElements>"));
    format!("{RESPONSE_START}{RECORDINGS_END}{NO_RECORDINGS}{total}{RESPONSE_END}").into()
}

/// meetingID, a list. The index may have an id with spaces around it, which BBB ignores: each id is looked up as written
/// and without them.
fn meeting_ids(params: &Params) -> Option<Vec<String>> {
    let mut ids = comma_list(params, "meetingID")?;
    let as_written = params.get("meetingID").unwrap_or_default().split(',');
    ids.extend(as_written.filter(|id| !id.trim().is_empty() && id.trim() != *id).map(str::to_owned));
    Some(ids)
}

/// Parses the parameters.
fn parse_query(config: &RecordingsConfig, params: &Params) -> Result<RecordingQuery, ApiError> {
    let (meetings, records) = (meeting_ids(params), comma_list(params, "recordID"));
    if config.must_filter && meetings.is_none() && records.is_none() {
        return Err(ApiError::MissingFilter);
    }
    // A list of nothing but commas is a filter that matches nothing, unlike a missing list.
    let filter = |list: Option<Vec<String>>| list.map_or(ValueFilter::Any, ValueFilter::OneOf);
    let states = match comma_list(params, "state") {
        None => ValueFilter::OneOf(vec!["published".to_owned(), "unpublished".to_owned()]),
        Some(states) if states.iter().any(|state| state.eq_ignore_ascii_case("any")) => ValueFilter::Any,
        Some(states) => ValueFilter::OneOf(states.iter().map(|state| state.to_ascii_lowercase()).collect()),
    };
    let meta: Vec<_> = params
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("meta_")?, value.unwrap_or_default())))
        .map(|(key, value)| MetaFilter {
            key: key.to_owned(),
            // Without a value it matches none.
            values: value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(MetaValue::parse)
                .collect(),
        })
        .take(MAX_META_FILTERS + 1)
        .collect();
    if meta.len() > MAX_META_FILTERS {
        return Err(ApiError::TooManyMetadataKeys(MAX_META_FILTERS));
    }
    let number = |name: &str| params.present(name).and_then(|text| text.trim().parse::<u32>().ok());
    Ok(RecordingQuery {
        meeting_ids: filter(meetings),
        record_ids: filter(records),
        states,
        meta,
        meta_match: config.meta_match,
        offset: number("offset").unwrap_or(0),
        before_ms: None,
        limit: number("limit").map(|limit| limit.clamp(1, 100)),
    })
}
