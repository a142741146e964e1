//! The body of a request: its kind, by its Content-Type; reading it within limits; the fields of a multipart form.

use super::Rejection;
use crate::bbb::params::ParamsBuilder;
use crate::bbb::{ApiError, Params};
use crate::calls::spec::CallSpec;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Limit of a form that carries the checksum itself: it is held before it can be verified.
pub(super) const MAX_UNSIGNED_FORM_BYTES: usize = 256 * 1024;

/// Limit of the fields of a multipart form: each has headers to parse.
const MAX_FORM_FIELDS: usize = 1000;

/// Kind of a request body.
pub(super) enum BodyKind {
    None,
    Form,
    Multipart { boundary: String },
    Document(HeaderValue),
}

/// The kind of a body, and whether the call accepts it.
pub(super) fn body_kind(spec: &CallSpec, headers: &HeaderMap) -> Result<BodyKind, ApiError> {
    let length = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    if !headers.contains_key(TRANSFER_ENCODING) && length.is_none_or(|n| n == "0") {
        return Ok(BodyKind::None);
    }
    let unsupported = ApiError::UnsupportedContentType;
    let value = headers.get(CONTENT_TYPE).ok_or(unsupported.clone())?;
    let text = value.to_str().map_err(|_| unsupported.clone())?;
    let media_type = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-www-form-urlencoded" if spec.body.accepts_form() => Ok(BodyKind::Form),
        "multipart/form-data" if spec.body.accepts_form() => {
            let boundary = multer::parse_boundary(text)
                .map_err(|_| ApiError::InvalidBody("multipart/form-data without a boundary"))?;
            Ok(BodyKind::Multipart { boundary })
        }
        "application/xml" | "text/xml" if spec.body.accepts_document() => {
            Ok(BodyKind::Document(value.clone()))
        }
        _ => Err(unsupported),
    }
}

/// Reads a body within a time limit, BODY_TIMEOUT.
pub(super) struct BodyReader<'r, S> {
    pub stream: Pin<&'r mut S>,
    pub headers: &'r HeaderMap,
    pub timeout: Duration,
}

impl<S, B, E> BodyReader<'_, S>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    /// Whether a body whose length was not announced turns out to be empty. What it begins with is lost otherwise.
    pub async fn is_chunked_and_empty(&mut self) -> bool {
        self.headers.contains_key(TRANSFER_ENCODING)
            && timeout(self.timeout, self.stream.next()).await.is_ok_and(|chunk| chunk.is_none())
    }

    /// Reads a body of at most `limit` bytes.
    pub async fn read(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        self.read_within(limit, ApiError::BodyTooLarge(limit), None).await
    }

    /// Reads a form whose checksum is not known yet. Each byte takes one of `permits` until all are read.
    pub async fn read_unsigned(&mut self, max_bytes: usize, permits: &Semaphore) -> Result<Bytes, ApiError> {
        let limit = max_bytes.min(MAX_UNSIGNED_FORM_BYTES);
        self.read_within(limit, ApiError::UnsignedBodyTooLarge(limit), Some(permits)).await
    }

    async fn read_within(
        &mut self,
        limit: usize,
        too_large: ApiError,
        permits: Option<&Semaphore>,
    ) -> Result<Bytes, ApiError> {
        let length = self.headers.get(CONTENT_LENGTH);
        let announced = length.and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|n| n > limit as u64) {
            return Err(too_large);
        }
        let read = async {
            let mut whole = BytesMut::new();
            let mut held = None;
            while let Some(chunk) = self.stream.next().await {
                let mut chunk =
                    chunk.map_err(|_| ApiError::InvalidBody("connection closed before its end"))?;
                let size = chunk.remaining();
                if whole.len() + size > limit {
                    return Err(too_large);
                }
                if let Some(permits) = permits {
                    let more = u32::try_from(size).ok().and_then(|size| permits.try_acquire_many(size).ok());
                    let more = more.ok_or(ApiError::TooManyUnsignedBodies)?;
                    match &mut held {
                        None => held = Some(more),
                        Some(held) => held.merge(more),
                    }
                }
                whole.extend_from_slice(&chunk.copy_to_bytes(size));
            }
            Ok(whole.freeze())
        };
        timeout(self.timeout, read).await.unwrap_or(Err(ApiError::InvalidBody("timed out")))
    }
}

/// A multipart form.
pub(super) struct ParsedForm {
    /// Its text fields.
    pub fields: Params,
    /// The file of the field `file`.
    pub file: Option<Bytes>,
}

/// Parses a multipart form. More than one checksum is an error, as in a query.
pub(super) async fn parse_multipart(form: Bytes, boundary: String) -> Result<ParsedForm, Rejection> {
    let invalid = |_| Rejection::Api(ApiError::InvalidBody("invalid multipart/form-data"));
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(form)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let (mut fields, mut file) = (ParamsBuilder::default(), None);
    let (mut count, mut checksums) = (0, 0);
    while let Some(field) = parts.next_field().await.map_err(invalid)? {
        count += 1;
        if count > MAX_FORM_FIELDS {
            return Err(ApiError::InvalidBody("too many fields").into());
        }
        let Some(name) = field.name().map(str::to_owned) else { continue };
        if field.file_name().is_some() {
            if name == "file" {
                file = Some(field.bytes().await.map_err(invalid)?);
            }
            continue;
        }
        checksums += usize::from(name == "checksum");
        let value = field.bytes().await.map_err(invalid)?;
        let value = std::str::from_utf8(&value).map_err(|_| Rejection::BadEncoding)?;
        fields.add(name, Some(value.to_owned()));
    }
    if checksums > 1 {
        return Err(ApiError::InvalidChecksum.into());
    }
    Ok(ParsedForm { fields: fields.finish(), file })
}
