//! Playback over HTTP. nginx sends the files, and learns their paths from X-Accel-Redirect; or `sl` sends them itself
//! (PLAYBACK_SERVE, or files in S3); or the browser is redirected to S3 (S3_REDIRECT).

use super::{AllowedFile, PlaybackDecision, PlaybackTarget, player};
use crate::app::App;
use crate::config::PlaybackConfig;
use crate::http::{file_response, responses};
use crate::recordings::storage::{OpenedPath, open_below};
use crate::recordings::{FilePath, Shelf, StorageError};
use crate::telemetry::permit_log;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::path::Path;
use tracing::error;
use warp::reply::Response;

const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

/// Formats that browsers show; files of other formats are downloads.
const INLINE_FORMATS: [&str; 3] = ["presentation", "video", "screenshare"];

const NOT_FOUND: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Recording Not \
    Found</title></head>\n<body><h1>Recording Not Found</h1>\n<p>There is no such recording, or the link to it has \
    been used already: ask for a new one where you got it.</p></body>\n</html>\n";

const UNAVAILABLE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Recording Not \
    Available</title></head>\n<body><h1>Recording Not Available</h1>\n<p>Please try again in a moment.</p></body>\n\
    </html>\n";

/// Whether a request is for PLAYBACK_HOST; None where that is not set.
pub fn is_for_playback_host(config: &PlaybackConfig, headers: &HeaderMap) -> Option<bool> {
    let own = config.host.as_deref()?;
    let requested = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let without_port = match requested.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => requested,
    };
    Some([requested, without_port].iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(own)))
}

/// The same address on PLAYBACK_HOST: links from before it was set lead to the balancer's host.
pub fn redirect_to_playback_host(
    config: &PlaybackConfig,
    path: &str,
    query: &str,
    headers: &HeaderMap,
) -> Response {
    let Some(host) = &config.host else { return not_found() };
    let is_https = headers
        .get("x-forwarded-proto")
        .and_then(|value| value.to_str().ok()?.split(',').next())
        .is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
    let scheme = if is_https { "https" } else { "http" };
    let separator = if query.is_empty() { "" } else { "?" };
    redirect(&format!("{scheme}://{host}{path}{separator}{query}"), Vec::new())
}

/// Responds to GET or HEAD.
pub async fn respond(
    app: &App,
    target: PlaybackTarget,
    query: &str,
    headers: &HeaderMap,
    is_head: bool,
) -> Response {
    match super::decide(app, target, query, headers, is_head).await {
        Ok(PlaybackDecision::Redirect(to, cookies)) => redirect(&to, cookies),
        // nginx cannot read files in S3.
        Ok(PlaybackDecision::File(file))
            if app.config.playback.serve || app.config.recordings.s3.is_some() =>
        {
            serve_file(app, file, query, headers, is_head).await
        }
        Ok(PlaybackDecision::File(file)) => accel_redirect(&file, &app.config.playback),
        Ok(PlaybackDecision::Player(path)) => serve_player(app, path, headers, is_head).await,
        Ok(PlaybackDecision::NotFound) => not_found(),
        Err(failure) => {
            if let Some(permit) = permit_log("playback", "") {
                let suppressed = permit.suppressed;
                error!(%failure, suppressed, "playback failed: Redis or the recordings index is unavailable");
            }
            unavailable()
        }
    }
}

/// 404, the same for every reason.
fn not_found() -> Response {
    html_page(StatusCode::NOT_FOUND, NOT_FOUND)
}

fn unavailable() -> Response {
    html_page(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
}

fn html_page(status: StatusCode, html: &'static str) -> Response {
    let mut response = responses::text(status, html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn redirect(to: &str, cookies: Vec<String>) -> Response {
    let cookies: Result<Vec<_>, _> = cookies.into_iter().map(HeaderValue::try_from).collect();
    let (Ok(to), Ok(cookies)) = (HeaderValue::try_from(to), cookies) else { return not_found() };
    let mut response = responses::empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    headers.insert(LOCATION, to);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// A response without a body: nginx sends the file that X-Accel-Redirect names.
fn accel_redirect(file: &AllowedFile, config: &PlaybackConfig) -> Response {
    let Ok(to) = HeaderValue::try_from(format!("/static-resource{}", file.url())) else { return not_found() };
    let mut response = responses::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(X_ACCEL_REDIRECT, to);
    headers.insert(CONTENT_TYPE, content_type(file.path.as_str()));
    set_file_headers(file, config, headers);
    response
}

async fn serve_file(
    app: &App,
    file: AllowedFile,
    query: &str,
    headers: &HeaderMap,
    is_head: bool,
) -> Response {
    let Some(recordings) = &app.recordings else { return not_found() };
    let format_id = &file.format_id;
    let found = recordings.storage.open(&format_id.id, &format_id.format, Shelf::Published, &file.path).await;
    match found {
        Ok(Some(OpenedPath::File(stored))) => {
            // HEAD, which players use to probe for files, is answered here: a signed URL is valid for GET only.
            if !is_head && may_come_from_s3(file.path.as_str()) {
                let (storage, shelf) = (&recordings.storage, Shelf::Published);
                match storage
                    .signed_url(&format_id.id, &format_id.format, shelf, &file.path, is_download(&file))
                    .await
                {
                    Ok(Some(url)) => return redirect(&url, Vec::new()),
                    Ok(None) => {}
                    Err(failure) => return unreadable_file(&failure),
                }
            }
            let mut response =
                file_response::respond(stored, content_type(file.path.as_str()), headers, is_head);
            set_file_headers(&file, &app.config.playback, response.headers_mut());
            response
        }
        Ok(Some(OpenedPath::Directory)) => {
            let separator = if query.is_empty() { "" } else { "?" };
            redirect(&format!("{}/{separator}{query}", file.url()), Vec::new())
        }
        Ok(None) => not_found(),
        Err(failure) => unreadable_file(&failure),
    }
}

fn unreadable_file(failure: &StorageError) -> Response {
    if let Some(permit) = permit_log("files of recordings", "playback") {
        error!(%failure, suppressed = permit.suppressed, "cannot read a file for playback");
    }
    unavailable()
}

/// Caches must revalidate a file each time, since access may have ended; only the browser's own cache may store a
/// protected one.
fn set_file_headers(file: &AllowedFile, config: &PlaybackConfig, headers: &mut HeaderMap) {
    let cache = if file.protected { "private, no-cache" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if is_download(file) {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    set_file_policy(file, config, headers);
}

/// Recordings come from BBB servers: their pages, SVG and XML must not act on the balancer's origin, with the viewer's
/// cookies. Images, videos and the files that a player fetches are not documents, and not affected.
fn set_file_policy(file: &AllowedFile, config: &PlaybackConfig, headers: &mut HeaderMap) {
    // Scripts and forms off. The origin stays, since browsers would withhold the cookie from a video otherwise.
    const NO_SCRIPTS: HeaderValue = HeaderValue::from_static(
        "sandbox allow-same-origin allow-downloads allow-popups; script-src 'none'; object-src 'none'; \
         frame-src 'none'; base-uri 'none'; form-action 'none'",
    );
    // On a host of their own, the pages that BBB makes for videos may use their scripts.
    const SCRIPTS: HeaderValue = HeaderValue::from_static(
        "sandbox allow-same-origin allow-scripts allow-downloads allow-popups; object-src 'none'; base-uri 'none'; \
         form-action 'none'",
    );
    // Browsers show no PDF in a sandbox. It has no access to its origin anyway.
    if !file.path.as_str().to_ascii_lowercase().ends_with(".pdf") {
        headers.insert(CONTENT_SECURITY_POLICY, if config.host.is_some() { SCRIPTS } else { NO_SCRIPTS });
    }
}

fn is_download(file: &AllowedFile) -> bool {
    !INLINE_FORMATS.contains(&file.format_id.format.as_str())
}

/// Whether a browser may fetch the file from S3: video, audio, images and PDF work from any host. Other files contain
/// relative links, or are read by scripts, which other hosts refuse.
fn may_come_from_s3(path: &str) -> bool {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    match kind.type_().as_str() {
        "video" | "audio" => true,
        "image" => kind.subtype() != "svg",
        _ => kind.essence_str() == "application/pdf",
    }
}

/// By the file's name, since browsers must not guess (X-Content-Type-Options).
fn content_type(path: &str) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = match (kind.type_().as_str(), kind.subtype().as_str()) {
        // XML declares its own encoding.
        ("text", subtype) if subtype != "xml" => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Without PLAYBACK_SERVE, nginx has the player's files, and these requests never arrive.
async fn serve_player(app: &App, path: Option<FilePath>, headers: &HeaderMap, is_head: bool) -> Response {
    let config = &app.config.playback;
    match (&config.player_dir, path) {
        _ if !config.serve => not_found(),
        (Some(directory), path) => installed_player(directory, path, headers, is_head).await,
        (None, path) => {
            let from_s3 = app.config.recordings.s3.as_ref().is_some_and(|s3| s3.redirect);
            builtin_player(path.as_ref(), from_s3)
        }
    }
}

/// A file of an installed bbb-playback, or else its index.html, which reads the record id from its own URL.
async fn installed_player(
    directory: &Path,
    path: Option<FilePath>,
    headers: &HeaderMap,
    is_head: bool,
) -> Response {
    for path in [path, FilePath::parse("index.html")].into_iter().flatten() {
        let content_type = content_type(path.as_str());
        match open_below(directory.to_owned(), path).await {
            Ok(Some(OpenedPath::File(file))) => {
                let mut response = file_response::respond(file, content_type, headers, is_head);
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                return response;
            }
            Ok(_) => {}
            Err(failure) => return unreadable_file(&failure),
        }
    }
    not_found()
}

/// A file of the built-in player. `from_s3`: the page loads video and images from the bucket.
fn builtin_player(path: Option<&FilePath>, from_s3: bool) -> Response {
    const POLICY: HeaderValue = HeaderValue::from_static(
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'",
    );
    const WITH_BUCKET: HeaderValue = HeaderValue::from_static(
        "default-src 'self'; img-src 'self' https: http:; media-src 'self' https: http:; object-src 'none'; \
         base-uri 'none'; form-action 'none'",
    );
    let Some(asset) = path.and_then(player::asset) else { return not_found() };
    let mut response = responses::text(StatusCode::OK, asset.text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, if from_s3 { WITH_BUCKET } else { POLICY });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_depends_on_the_name() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("video/webcams.webm", "video/webm"),
            ("video-0.m4v", "video/x-m4v"),
            ("shapes.svg", "image/svg+xml"),
            ("metadata.xml", "text/xml"),
            ("captions.json", "application/json"),
            ("caption_en-US.vtt", "text/vtt; charset=utf-8"),
            ("audio.ogg", "audio/ogg"),
            ("notes.pdf", "application/pdf"),
            ("nothing", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}
