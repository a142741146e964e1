//! Which bytes of the archive a request brings: `Content-Range`, or all of them.

use super::refusal::Refusal;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, StatusCode};

/// The bytes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UploadRange {
    /// Bytes of the archive that come before it.
    pub(super) offset: u64,
    /// Bytes that the request brings, if it announces them.
    pub(super) length: Option<u64>,
    /// Bytes of the whole archive, if announced.
    pub(super) total: Option<u64>,
}

impl UploadRange {
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<UploadRange, Refusal> {
        let Some(range) = headers.get(CONTENT_RANGE) else {
            let total = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse().ok());
            return Ok(UploadRange { offset: 0, length: total.filter(|total| *total > 0), total });
        };
        range.to_str().ok().and_then(UploadRange::parse).ok_or_else(|| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "Content-Range must be bytes FIRST-LAST/TOTAL with FIRST <= LAST < TOTAL, or bytes */TOTAL",
            )
        })
    }

    /// `bytes FIRST-LAST/TOTAL`, or `bytes */TOTAL` after the last byte.
    fn parse(text: &str) -> Option<UploadRange> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let total: u64 = total.parse().ok()?;
        if range == "*" {
            return (total > 0).then_some(UploadRange { offset: total, length: Some(0), total: Some(total) });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < total).then(|| UploadRange {
            offset: first,
            length: Some(last - first + 1),
            total: Some(total),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u64, length: Option<u64>, total: Option<u64>) -> Option<UploadRange> {
        Some(UploadRange { offset, length, total })
    }

    #[test]
    fn parse_accepts_ranges_within_the_total() {
        assert_eq!(UploadRange::parse("bytes 0-3/9"), range(0, Some(4), Some(9)));
        assert_eq!(UploadRange::parse(" bytes 4-8/9 "), range(4, Some(5), Some(9)));
        assert_eq!(UploadRange::parse("bytes */9"), range(9, Some(0), Some(9)));
        for bad in ["bytes 0-9/9", "bytes 5-4/9", "bytes x-4/9", "0-4/9", "bytes 0-4/*", "bytes */0", ""] {
            assert_eq!(UploadRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn from_headers_takes_the_content_length_of_a_whole_archive() {
        let mut headers = HeaderMap::new();
        assert_eq!(UploadRange::from_headers(&headers).ok(), range(0, None, None));
        headers.insert(CONTENT_LENGTH, 9.into());
        assert_eq!(UploadRange::from_headers(&headers).ok(), range(0, Some(9), Some(9)));
    }
}
