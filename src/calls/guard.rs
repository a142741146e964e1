//! What stands between a request and its call, in this order: content type, checksum, body. A
//! document is read only once the checksum over the query is right; a form may carry the checksum
//! itself, so it is read first.

use crate::bbb::{ApiError, Params, checksum};
use crate::calls::{ApiRequest, Call, CallSpec, Links};
use crate::config::Config;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};

/// A form that carries the checksum itself is read before anybody has signed: at most so many bytes.
const MAX_UNSIGNED_FORM_BYTES: usize = 1024 * 1024;

/// Fields of a multipart form, as browsers send them.
const MAX_FORM_FIELDS: usize = 1000;

/// Why a request does not reach its call.
#[derive(Debug)]
pub enum Rejection {
    /// An error in BBB's form.
    Api(ApiError),
    /// Status 400 and an empty body: not percent-encoded UTF-8.
    BadEncoding,
}

impl From<ApiError> for Rejection {
    fn from(error: ApiError) -> Rejection {
        Rejection::Api(error)
    }
}

impl From<crate::bbb::params::BadEncoding> for Rejection {
    fn from(_: crate::bbb::params::BadEncoding) -> Rejection {
        Rejection::BadEncoding
    }
}

/// What a POST body is, by its Content-Type.
enum BodyKind {
    None,
    Form,
    Multipart(String),
    Document(HeaderValue),
}

/// Lets a request through if it may pass.
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
    let kind = if *method == Method::POST { kind(spec, headers)? } else { BodyKind::None };
    let cut = checksum::split_checksum(raw_query).map_err(|_| ApiError::InvalidChecksum)?;
    let signed = call.is_signed(config);
    let passes = |sum: &str| {
        let secrets = config.api.secrets.iter().map(|secret| secret.expose());
        checksum::verify(call.name(), &cut.query, sum, secrets, &config.api.algorithms)
    };
    if signed && cut.checksum.is_some_and(|sum| !passes(sum)) {
        return Err(ApiError::InvalidChecksum.into());
    }
    let mut params = Params::parse(&cut.query)?;
    let (mut document, mut file) = (None, None);
    // A checksum that was there has been verified by now, unless the call needs none.
    let limit = match cut.checksum {
        Some(_) if signed => spec.body.max_file_bytes().unwrap_or(config.api.max_body_bytes),
        _ => config.api.max_body_bytes.min(MAX_UNSIGNED_FORM_BYTES),
    };
    match kind {
        BodyKind::None => {}
        BodyKind::Document(content_type) => {
            // Nobody makes us read a document without having signed.
            if signed && cut.checksum.is_none() {
                return Err(ApiError::InvalidChecksum.into());
            }
            document = Some((content_type, read(config, limit, headers, body).await?));
        }
        BodyKind::Form => {
            let form = read(config, limit, headers, body).await?;
            let form = std::str::from_utf8(&form).map_err(|_| Rejection::BadEncoding)?;
            if checksum::split_checksum(form).is_err() {
                return Err(ApiError::InvalidChecksum.into());
            }
            params.merge_encoded(form)?;
        }
        BodyKind::Multipart(boundary) => {
            let form = read(config, limit, headers, body).await?;
            let files = multipart(&mut params, form, boundary, spec.body.max_file_bytes().is_none()).await?;
            file = files.filter(|_| spec.body.max_file_bytes().is_some());
        }
    }
    let in_body = params.remove("checksum");
    if signed {
        let valid = match (cut.checksum, in_body) {
            (Some(_), None) => true,
            (None, Some(sum)) => passes(&sum),
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

/// `https://host[:port]` as the client sees us: nginx says so, or else the request itself.
fn base_url(headers: &HeaderMap) -> String {
    // Of several proxies the outermost one comes first.
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    };
    let scheme = first("x-forwarded-proto").filter(|scheme| scheme.eq_ignore_ascii_case("https"));
    let host = first("x-forwarded-host").or_else(|| first("host")).unwrap_or("localhost");
    format!("{}://{host}", scheme.map_or("http", |_| "https"))
}

fn kind(spec: &CallSpec, headers: &HeaderMap) -> Result<BodyKind, ApiError> {
    let length = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    if !headers.contains_key(TRANSFER_ENCODING) && length.is_none_or(|n| n == "0") {
        return Ok(BodyKind::None);
    }
    let unsupported = ApiError::UnsupportedContentType;
    let value = headers.get(CONTENT_TYPE).ok_or(unsupported.clone())?;
    let text = value.to_str().map_err(|_| unsupported.clone())?;
    let essence = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" if spec.body.accepts_form() => Ok(BodyKind::Form),
        "multipart/form-data" if spec.body.accepts_form() => {
            let boundary = multer::parse_boundary(text)
                .map_err(|_| ApiError::InvalidBody("multipart/form-data without a boundary"))?;
            Ok(BodyKind::Multipart(boundary))
        }
        "application/xml" | "text/xml" if spec.body.accepts_document() => {
            Ok(BodyKind::Document(value.clone()))
        }
        _ => Err(unsupported),
    }
}

async fn read<S, B, E>(config: &Config, limit: usize, headers: &HeaderMap, body: S) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit as u64) {
        return Err(ApiError::BodyTooLarge(limit));
    }
    let collected = async {
        let mut body = std::pin::pin!(body);
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await {
            let mut piece = piece.map_err(|_| ApiError::InvalidBody("it broke off"))?;
            if whole.len() + piece.remaining() > limit {
                return Err(ApiError::BodyTooLarge(limit));
            }
            whole.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(config.listen.body_timeout, collected)
        .await
        .unwrap_or(Err(ApiError::InvalidBody("it did not come in time")))
}

/// Text fields over the query; of the fields with a file, the one that is called so.
/// `over`: whether a field counts more than a parameter of that name that is there already.
async fn multipart(
    params: &mut Params,
    form: Bytes,
    boundary: String,
    over: bool,
) -> Result<Option<Bytes>, Rejection> {
    let broken = |_| Rejection::Api(ApiError::InvalidBody("it is not multipart/form-data"));
    let signed: Vec<String> =
        if over { Vec::new() } else { params.iter().map(|(name, _)| name.to_owned()).collect() };
    let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(form)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let (mut checksums, mut file) = (0, None);
    let mut fields = 0;
    while let Some(field) = parts.next_field().await.map_err(broken)? {
        // Each is looked for among those before it.
        fields += 1;
        if fields > MAX_FORM_FIELDS {
            return Err(ApiError::InvalidBody("it has too many fields").into());
        }
        let Some(name) = field.name().map(str::to_owned) else { continue };
        if field.file_name().is_some() {
            if name == "file" {
                file = Some(field.bytes().await.map_err(broken)?);
            }
            continue;
        }
        checksums += usize::from(name == "checksum");
        if signed.contains(&name) {
            continue;
        }
        let value = field.bytes().await.map_err(broken)?;
        let value = std::str::from_utf8(&value).map_err(|_| Rejection::BadEncoding)?;
        params.set(&name, value);
    }
    if checksums > 1 { Err(ApiError::InvalidChecksum.into()) } else { Ok(file) }
}
