//! Checks a request before its call runs: content type, checksum, body, in this order. A document is
//! read only once the checksum over the query is valid; a form may carry the checksum itself, so it is
//! read first.

use crate::bbb::params::BadEncoding;
use crate::bbb::{ApiError, Params, checksum};
use crate::calls::spec::{CallSpec, Links};
use crate::calls::{ApiRequest, Call};
use crate::config::Config;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};

/// Limit of a form that carries the checksum itself: it is read before its signature can be verified.
const MAX_UNSIGNED_FORM_BYTES: usize = 1024 * 1024;

/// Limit of a multipart form: each field is compared with all before it.
const MAX_FORM_FIELDS: usize = 1000;

/// Why a request does not reach its call.
#[derive(Debug)]
pub enum Rejection {
    /// An error in BBB's format.
    Api(ApiError),
    /// Status 400 with an empty body: not percent-encoded UTF-8.
    BadEncoding,
}

impl From<ApiError> for Rejection {
    fn from(error: ApiError) -> Rejection {
        Rejection::Api(error)
    }
}

impl From<BadEncoding> for Rejection {
    fn from(_: BadEncoding) -> Rejection {
        Rejection::BadEncoding
    }
}

/// Kind of a request body, by its Content-Type.
enum BodyKind {
    None,
    Form,
    Multipart { boundary: String },
    Document(HeaderValue),
}

/// Verifies a request and reads its body.
pub async fn check<S, B, E>(
    config: &Config,
    call: Call,
    method: &Method,
    raw_query: &str,
    headers: &HeaderMap,
    body: S,
) -> Result<ApiRequest, Rejection>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let spec = call.spec();
    let kind = if *method == Method::POST { body_kind(spec, headers)? } else { BodyKind::None };
    let signed = checksum::split_checksum(raw_query).map_err(|_| ApiError::InvalidChecksum)?;
    let must_be_signed = call.is_signed(config);
    let is_valid = |checksum: &str| {
        let secrets = config.api.secrets.iter().map(|secret| secret.expose());
        checksum::verify(call.name(), &signed.query, checksum, secrets, &config.api.algorithms)
    };
    if must_be_signed && signed.checksum.is_some_and(|checksum| !is_valid(checksum)) {
        return Err(ApiError::InvalidChecksum.into());
    }
    let mut params = Params::parse(&signed.query)?;
    let (mut document, mut file) = (None, None);
    let max_file_bytes = spec.body.max_file_bytes();
    // A checksum in the query has been verified by now, unless the call requires none.
    let limit = match signed.checksum {
        Some(_) if must_be_signed => max_file_bytes.unwrap_or(config.api.max_body),
        _ => config.api.max_body.min(MAX_UNSIGNED_FORM_BYTES),
    };
    match kind {
        BodyKind::None => {}
        BodyKind::Document(content_type) => {
            // An unsigned document is not worth reading.
            if must_be_signed && signed.checksum.is_none() {
                return Err(ApiError::InvalidChecksum.into());
            }
            document = Some((content_type, read_body(config, limit, headers, body).await?));
        }
        BodyKind::Form => {
            let form = read_body(config, limit, headers, body).await?;
            let form = std::str::from_utf8(&form).map_err(|_| Rejection::BadEncoding)?;
            if checksum::split_checksum(form).is_err() {
                return Err(ApiError::InvalidChecksum.into());
            }
            params.merge_encoded(form)?;
        }
        BodyKind::Multipart { boundary } => {
            let form = read_body(config, limit, headers, body).await?;
            let precedence = match max_file_bytes {
                Some(_) => Precedence::Query,
                None => Precedence::Form,
            };
            let found = merge_multipart(&mut params, form, boundary, precedence).await?;
            file = found.filter(|_| max_file_bytes.is_some());
        }
    }
    let in_form = params.remove("checksum");
    if must_be_signed {
        let valid = match (signed.checksum, in_form) {
            (Some(_), None) => true,
            (None, Some(checksum)) => is_valid(&checksum),
            _ => false,
        };
        if !valid {
            return Err(ApiError::InvalidChecksum.into());
        }
    }
    let base_url = match spec.links {
        Links::ToClientHost => base_url(headers),
        Links::None => String::new(),
    };
    Ok(ApiRequest { params, document, file, base_url })
}

/// `https://host[:port]` as the client sees us: from the headers that nginx sets, else from the request.
fn base_url(headers: &HeaderMap) -> String {
    // With several proxies the outermost one comes first.
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    };
    let scheme = first("x-forwarded-proto").filter(|scheme| scheme.eq_ignore_ascii_case("https"));
    let host = first("x-forwarded-host").or_else(|| first("host")).unwrap_or("localhost");
    format!("{}://{host}", scheme.map_or("http", |_| "https"))
}

fn body_kind(spec: &CallSpec, headers: &HeaderMap) -> Result<BodyKind, ApiError> {
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

/// Reads a body of at most `limit` bytes within BODY_TIMEOUT.
async fn read_body<S, B, E>(
    config: &Config,
    limit: usize,
    headers: &HeaderMap,
    body: S,
) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit as u64) {
        return Err(ApiError::BodyTooLarge(limit));
    }
    let read = async {
        let mut body = std::pin::pin!(body);
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(|_| ApiError::InvalidBody("connection closed before its end"))?;
            if whole.len() + chunk.remaining() > limit {
                return Err(ApiError::BodyTooLarge(limit));
            }
            whole.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(config.listen.body_timeout, read)
        .await
        .unwrap_or(Err(ApiError::InvalidBody("timed out")))
}

/// Which value counts where the query and the form have a parameter of the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precedence {
    /// The query: it is signed, the fields beside a file are not.
    Query,
    /// The form, as with `application/x-www-form-urlencoded`.
    Form,
}

/// Merges the text fields of a form into the parameters, and returns the file of the field `file`.
async fn merge_multipart(
    params: &mut Params,
    form: Bytes,
    boundary: String,
    precedence: Precedence,
) -> Result<Option<Bytes>, Rejection> {
    let invalid = |_| Rejection::Api(ApiError::InvalidBody("invalid multipart/form-data"));
    let in_query: Vec<String> = match precedence {
        Precedence::Query => params.iter().map(|(name, _)| name.to_owned()).collect(),
        Precedence::Form => Vec::new(),
    };
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(form)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let (mut fields, mut checksums, mut file) = (0, 0, None);
    while let Some(field) = parts.next_field().await.map_err(invalid)? {
        fields += 1;
        if fields > MAX_FORM_FIELDS {
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
        if in_query.contains(&name) {
            continue;
        }
        let value = field.bytes().await.map_err(invalid)?;
        let value = std::str::from_utf8(&value).map_err(|_| Rejection::BadEncoding)?;
        params.set(&name, value);
    }
    if checksums > 1 { Err(ApiError::InvalidChecksum.into()) } else { Ok(file) }
}
