//! Checks a request before its call runs: content type, checksum, body, in this order. What has no valid checksum
//! costs little: a checksum in the query is verified before the body is read, and one in a form is looked up in its
//! raw bytes, before the form is parsed. The query is what is signed, so a form never replaces what the query names.

mod body;

use self::body::{BodyKind, BodyReader, body_kind, parse_multipart};
use crate::bbb::checksum::{find_in_form, find_in_multipart, split_checksum};
use crate::bbb::params::BadEncoding;
use crate::bbb::{ApiError, Params, checksum};
use crate::calls::spec::Links;
use crate::calls::{ApiRequest, Call};
use crate::config::Config;
use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::{HeaderMap, Method};
use std::pin::pin;
use tokio::sync::Semaphore;

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

/// The head of a request.
#[derive(Clone, Copy)]
pub struct RequestHead<'r> {
    /// The call that its path names.
    pub call: Call,
    /// GET, HEAD or POST.
    pub method: &'r Method,
    /// The query as received.
    pub raw_query: &'r str,
    /// The headers.
    pub headers: &'r HeaderMap,
}

/// Verifies a request and reads its body. `unsigned_bytes` has a permit for each byte of a body that may be held before
/// its checksum is known.
pub async fn check<S, B, E>(
    config: &Config,
    unsigned_bytes: &Semaphore,
    head: RequestHead<'_>,
    body: S,
) -> Result<ApiRequest, Rejection>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let RequestHead { call, method, raw_query, headers } = head;
    let spec = call.spec();
    let mut body = BodyReader { stream: pin!(body), headers, timeout: config.listen.body_timeout };
    let kind = match body_kind(spec, headers) {
        _ if *method != Method::POST => BodyKind::None,
        Err(ApiError::UnsupportedContentType) if body.is_chunked_and_empty().await => BodyKind::None,
        kind => kind?,
    };
    let base_url = match spec.links {
        Links::ToClientHost => base_url(config, headers),
        Links::None => String::new(),
    };
    let signed = split_checksum(raw_query).map_err(|_| ApiError::InvalidChecksum)?;
    if !call.is_signed(config) {
        // These take no parameters: their bodies are not worth reading.
        let params = Params::parse(&signed.query)?;
        return Ok(ApiRequest { params, document: None, file: None, base_url });
    }
    let is_valid = |checksum: &str| {
        let secrets = config.api.secrets.iter().map(|secret| secret.expose());
        checksum::verify(call.name(), &signed.query, checksum, secrets, &config.api.algorithms)
    };
    let max_bytes = spec.body.max_file_bytes().unwrap_or(config.api.max_body_bytes);
    let (form, in_form) = match (signed.checksum, &kind) {
        (Some(checksum), _) if !is_valid(checksum) => return Err(ApiError::InvalidChecksum.into()),
        (Some(_), BodyKind::None) => (Bytes::new(), None),
        (Some(_), _) => (body.read(max_bytes).await?, None),
        // A document carries no checksum.
        (None, BodyKind::None | BodyKind::Document(_)) => return Err(ApiError::InvalidChecksum.into()),
        (None, _) if !config.api.allow_body_checksum => return Err(ApiError::InvalidChecksum.into()),
        (None, BodyKind::Form | BodyKind::Multipart { .. }) => {
            let form = body.read_unsigned(max_bytes, unsigned_bytes).await?;
            let found = match kind {
                BodyKind::Multipart { .. } => find_in_multipart(&form),
                _ => find_in_form(&form),
            };
            let checksum = found.ok().flatten().filter(|checksum| is_valid(checksum));
            let checksum = checksum.ok_or(ApiError::InvalidChecksum)?.to_owned();
            (form, Some(checksum))
        }
    };
    let mut params = Params::parse(&signed.query)?;
    // Another one, in a spelling that is not taken for the checksum.
    if params.remove("checksum").is_some() {
        return Err(ApiError::InvalidChecksum.into());
    }
    let (mut document, mut file) = (None, None);
    let mut fields = match kind {
        BodyKind::Document(content_type) if !form.is_empty() => {
            document = Some((content_type, form));
            Params::default()
        }
        BodyKind::Form => Params::parse(std::str::from_utf8(&form).map_err(|_| Rejection::BadEncoding)?)?,
        BodyKind::Multipart { boundary } if !form.is_empty() => {
            let parsed = parse_multipart(form, boundary).await?;
            file = parsed.file.filter(|_| spec.body.max_file_bytes().is_some());
            parsed.fields
        }
        BodyKind::None | BodyKind::Document(_) | BodyKind::Multipart { .. } => Params::default(),
    };
    // Exactly the checksum that was verified, if any.
    if fields.remove("checksum") != in_form {
        return Err(ApiError::InvalidChecksum.into());
    }
    params.append_unsigned(fields);
    Ok(ApiRequest { params, document, file, base_url })
}

/// `https://host[:port]` as the client sees us: from the headers that nginx sets, else from the request. Any client
/// can send X-Forwarded-Host: it counts only if it is a name that URL_HOST allows.
fn base_url(config: &Config, headers: &HeaderMap) -> String {
    // With several proxies the outermost one comes first.
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    };
    let scheme = first("x-forwarded-proto").filter(|scheme| scheme.eq_ignore_ascii_case("https"));
    let forwarded = first("x-forwarded-host").filter(|host| config.api.names_url_host(host));
    let host = forwarded.or_else(|| first("host")).unwrap_or("localhost");
    format!("{}://{host}", scheme.map_or("http", |_| "https"))
}

#[cfg(test)]
mod tests;
