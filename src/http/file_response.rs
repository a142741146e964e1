//! A file as a response (RFC 9110): whole, a range, or 304 if the browser has it already.

use super::responses;
use crate::recordings::StoredFile;
use headers::{
    ContentRange, ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
    LastModified,
};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_range_header::RangeUnsatisfiableError;
use std::ops::Range;
use warp::reply::{Reply, Response as WarpResponse};

/// What the conditional and range headers of a request ask for.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Whole,
    Range(Range<u64>),
    NotModified,
    PreconditionFailed,
    RangeNotSatisfiable,
}

/// Responds with a file; to HEAD with the same headers and no body.
pub fn respond(
    file: StoredFile,
    content_type: HeaderValue,
    request: &HeaderMap,
    is_head: bool,
) -> WarpResponse {
    let etag: Option<ETag> = format!("\"{}\"", file.tag).parse().ok();
    let modified = file.modified.map(LastModified::from);
    let size = file.size;
    let mut response = match decide(request, etag.as_ref(), modified, size, is_head) {
        Decision::Whole => file_bytes(file, 0..size, StatusCode::OK, content_type, is_head),
        Decision::Range(range) => {
            let content_range = ContentRange::bytes(range.clone(), size).ok();
            let mut response = file_bytes(file, range, StatusCode::PARTIAL_CONTENT, content_type, is_head);
            if let Some(range) = content_range {
                response.headers_mut().typed_insert(range);
            }
            response
        }
        Decision::NotModified => responses::empty(StatusCode::NOT_MODIFIED),
        Decision::PreconditionFailed => responses::empty(StatusCode::PRECONDITION_FAILED),
        Decision::RangeNotSatisfiable => {
            let mut response = responses::empty(StatusCode::RANGE_NOT_SATISFIABLE);
            if let Ok(range) = HeaderValue::try_from(format!("bytes */{size}")) {
                response.headers_mut().insert(CONTENT_RANGE, range);
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(etag) = etag {
        headers.typed_insert(etag);
    }
    if let Some(modified) = modified {
        headers.typed_insert(modified);
    }
    response
}

fn file_bytes(
    file: StoredFile,
    range: Range<u64>,
    status: StatusCode,
    content_type: HeaderValue,
    is_head: bool,
) -> WarpResponse {
    let length = range.end - range.start;
    let mut response = if is_head || length == 0 {
        responses::empty(status)
    } else {
        warp::reply::stream(file.read(range)).into_response()
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, content_type);
    response
}

/// Evaluates preconditions in the order of RFC 9110, 13.2.2.
fn decide(
    request: &HeaderMap,
    etag: Option<&ETag>,
    modified: Option<LastModified>,
    size: u64,
    is_head: bool,
) -> Decision {
    let tag_matches = |matches: &IfMatch| etag.is_some_and(|etag| matches.precondition_passes(etag));
    match (request.typed_get::<IfMatch>(), request.typed_get::<IfUnmodifiedSince>(), modified) {
        (Some(matches), ..) if !tag_matches(&matches) => return Decision::PreconditionFailed,
        (None, Some(since), Some(modified)) if !since.precondition_passes(modified.into()) => {
            return Decision::PreconditionFailed;
        }
        _ => {}
    }
    match (request.typed_get::<IfNoneMatch>(), request.typed_get::<IfModifiedSince>(), modified) {
        (Some(matches), ..) if etag.is_some_and(|etag| !matches.precondition_passes(etag)) => {
            return Decision::NotModified;
        }
        (None, Some(since), Some(modified)) if !since.is_modified(modified.into()) => {
            return Decision::NotModified;
        }
        _ => {}
    }
    // Ranges are defined for GET only.
    let Some(range) = request.get(RANGE).filter(|_| !is_head) else { return Decision::Whole };
    let has_changed = |if_range: IfRange| if_range.is_modified(etag, modified.as_ref());
    if request.contains_key(http::header::IF_RANGE) && request.typed_get::<IfRange>().is_none_or(has_changed)
    {
        return Decision::Whole;
    }
    requested_range(range, size)
}

/// A single range is sent. Several ranges and an invalid header get the whole file, as the RFC allows.
fn requested_range(range: &HeaderValue, size: u64) -> Decision {
    let Ok(text) = range.to_str() else { return Decision::Whole };
    let parsed = match http_range_header::parse_range_header(text) {
        Ok(parsed) if parsed.len() == 1 => parsed,
        Err(RangeUnsatisfiableError::Unsatisfiable) => return Decision::RangeNotSatisfiable,
        _ => return Decision::Whole,
    };
    match parsed.validate(size).as_deref() {
        Ok([range]) => Decision::Range(*range.start()..range.end() + 1),
        _ => Decision::RangeNotSatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const SIZE: u64 = 1000;

    /// Modified at 12:00:00.7.
    fn modified() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_767_268_800_700)
    }

    fn decide_with(size: u64, is_head: bool, lines: &[(&str, &str)]) -> Decision {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let etag: ETag = "\"tag\"".parse().unwrap();
        decide(&headers, Some(&etag), Some(modified().into()), size, is_head)
    }

    fn get(lines: &[(&str, &str)]) -> Decision {
        decide_with(SIZE, false, lines)
    }

    #[test]
    fn a_single_valid_range_is_sent() {
        use Decision::{RangeNotSatisfiable, Whole};
        for (range, expected) in [
            ("bytes=0-", Decision::Range(0..1000)),
            ("bytes=0-0", Decision::Range(0..1)),
            ("bytes=999-", Decision::Range(999..1000)),
            ("bytes=10-19", Decision::Range(10..20)),
            ("bytes=10-5000", Decision::Range(10..1000)),
            ("bytes=-1", Decision::Range(999..1000)),
            ("bytes=-5000", Decision::Range(0..1000)),
            ("bytes=1000-", RangeNotSatisfiable),
            ("bytes=1000-2000", RangeNotSatisfiable),
            ("bytes=-0", RangeNotSatisfiable),
            // Several ranges, and invalid headers.
            ("bytes=0-1,5-6", Whole),
            ("bytes=a-b", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("lines=0-1", Whole),
            ("bytes=0-99999999999999999999999", Decision::Range(0..1000)),
        ] {
            assert_eq!(get(&[("range", range)]), expected, "{range}");
        }
        assert_eq!(decide_with(0, false, &[("range", "bytes=0-")]), RangeNotSatisfiable);
        assert_eq!(decide_with(0, false, &[]), Whole);
        assert_eq!(decide_with(SIZE, true, &[("range", "bytes=0-0")]), Whole, "HEAD has no ranges");
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        use Decision::{NotModified, PreconditionFailed, Whole};
        const SAME: &str = "Thu, 01 Jan 2026 12:00:00 GMT";
        const BEFORE: &str = "Thu, 01 Jan 2026 11:59:59 GMT";
        for (name, value, expected) in [
            ("if-none-match", "\"tag\"", NotModified),
            ("if-none-match", "\"a\", W/\"tag\"", NotModified),
            ("if-none-match", "*", NotModified),
            ("if-none-match", "\"other\"", Whole),
            ("if-modified-since", SAME, NotModified),
            ("if-modified-since", BEFORE, Whole),
            ("if-modified-since", "yesterday", Whole),
            ("if-match", "\"tag\"", Whole),
            ("if-match", "\"other\"", PreconditionFailed),
            ("if-match", "W/\"tag\"", PreconditionFailed),
            ("if-unmodified-since", SAME, Whole),
            ("if-unmodified-since", BEFORE, PreconditionFailed),
        ] {
            assert_eq!(get(&[(name, value)]), expected, "{name}: {value}");
        }
        // The tag takes precedence over the time.
        assert_eq!(get(&[("if-none-match", "\"other\""), ("if-modified-since", SAME)]), Whole);
        assert_eq!(get(&[("if-match", "\"tag\""), ("if-unmodified-since", BEFORE)]), Whole);
        assert_eq!(get(&[("if-none-match", "\"tag\""), ("range", "bytes=0-0")]), NotModified);
    }

    #[test]
    fn a_range_of_a_changed_file_is_the_whole_file() {
        use Decision::Whole;
        for (condition, expected) in [
            ("\"tag\"", Decision::Range(0..1)),
            ("Thu, 01 Jan 2026 12:00:00 GMT", Decision::Range(0..1)),
            ("\"other\"", Whole),
            ("W/\"tag\"", Whole),
            ("Thu, 01 Jan 2026 11:59:59 GMT", Whole),
            ("nonsense", Whole),
        ] {
            assert_eq!(get(&[("range", "bytes=0-0"), ("if-range", condition)]), expected, "{condition}");
        }
    }
}
