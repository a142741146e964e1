//! Playback as HTTP. Files go out through nginx, which is told where they are (X-Accel-Redirect), or from
//! here (PLAYBACK_SERVE, or what is in S3), or the browser fetches them from S3 itself (S3_REDIRECT).

use super::{Answer, Seen, Target, player};
use crate::app::App;
use crate::http::{file_response, responses};
use crate::recordings::storage::{Found, open_below};
use crate::recordings::{FilePath, Shelf, StorageError};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::path::Path;
use std::time::SystemTime;
use tracing::error;
use warp::reply::Response;

const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

/// These are shown in the browser; others are saved.
const SHOWN: [&str; 3] = ["presentation", "video", "screenshare"];

const NOT_FOUND: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Recording Not \
    Found</title></head>\n<body><h1>Recording Not Found</h1>\n<p>There is no such recording, or the link to it has \
    been used already: ask for a new one where you got it.</p></body>\n</html>\n";

const UNAVAILABLE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Recording Not \
    Available</title></head>\n<body><h1>Recording Not Available</h1>\n<p>Please try again in a moment.</p></body>\n\
    </html>\n";

/// Answers GET, or HEAD.
pub async fn answer(app: &App, target: Target, query: &str, headers: &HeaderMap, is_head: bool) -> Response {
    match super::answer(app, target, query, headers, SystemTime::now()).await {
        Ok(Answer::Redirect(to, cookie)) => redirect(&to, cookie),
        // What is in S3 is not where nginx could find it.
        Ok(Answer::File(seen)) if app.config.playback.serve || app.config.recordings.s3.is_some() => {
            serve(app, seen, query, headers, is_head).await
        }
        Ok(Answer::File(seen)) => through_nginx(&seen),
        Ok(Answer::Player(path)) => show_player(app, path, headers, is_head).await,
        Ok(Answer::NotFound) => not_found(),
        Err(failure) => {
            error!(%failure, "playback needs Redis or the index of recordings");
            unavailable()
        }
    }
}

/// 404, whatever the reason.
fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, NOT_FOUND)
}

fn unavailable() -> Response {
    page(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
}

fn page(status: StatusCode, html: &'static str) -> Response {
    let mut response = responses::text(status, html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn redirect(to: &str, cookie: Option<String>) -> Response {
    let cookie = cookie.map(HeaderValue::try_from).transpose();
    let (Ok(to), Ok(cookie)) = (HeaderValue::try_from(to), cookie) else { return not_found() };
    let mut response = responses::empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    headers.insert(LOCATION, to);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

/// nginx sends the file: all that it needs to be told.
fn through_nginx(seen: &Seen) -> Response {
    let Ok(to) = HeaderValue::try_from(format!("/static-resource{}", seen.url())) else { return not_found() };
    let mut response = responses::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(X_ACCEL_REDIRECT, to);
    headers.insert(CONTENT_TYPE, content_type(seen.path.as_str()));
    describe(seen, headers);
    response
}

async fn serve(app: &App, seen: Seen, query: &str, headers: &HeaderMap, is_head: bool) -> Response {
    let Some(recordings) = &app.recordings else { return not_found() };
    let place = &seen.place;
    let found = recordings.storage.open(&place.id, &place.format, Shelf::Published, &seen.path).await;
    match found {
        Ok(Some(Found::File(file))) => {
            // Players ask with HEAD what there is: from here, since a signed URL is good for GET only.
            if !is_head && may_come_from_elsewhere(seen.path.as_str()) {
                let (storage, shelf) = (&recordings.storage, Shelf::Published);
                match storage.signed_url(&place.id, &place.format, shelf, &seen.path, is_saved(&seen)).await {
                    Ok(Some(url)) => return redirect(&url, None),
                    Ok(None) => {}
                    Err(failure) => return unreadable(&failure),
                }
            }
            let mut response =
                file_response::respond(file, content_type(seen.path.as_str()), headers, is_head);
            describe(&seen, response.headers_mut());
            response
        }
        Ok(Some(Found::Directory)) => {
            let and = if query.is_empty() { "" } else { "?" };
            redirect(&format!("{}/{and}{query}", seen.url()), None)
        }
        Ok(None) => not_found(),
        Err(failure) => unreadable(&failure),
    }
}

fn unreadable(failure: &StorageError) -> Response {
    error!(%failure, "a file cannot be played");
    unavailable()
}

/// Whoever keeps a file asks again each time whether it may still be seen; only the browser itself keeps
/// one that is protected.
fn describe(seen: &Seen, headers: &mut HeaderMap) {
    let cache = if seen.protected { "private, no-cache" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if is_saved(seen) {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
}

fn is_saved(seen: &Seen) -> bool {
    !SHOWN.contains(&seen.place.format.as_str())
}

/// Films, sound, images, documents: nothing of a page's own depends on where they come from. Its other
/// parts have links of their own, which begin where it is, or are read by scripts, which other hosts refuse.
fn may_come_from_elsewhere(path: &str) -> bool {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    match kind.type_().as_str() {
        "video" | "audio" => true,
        "image" => kind.subtype() != "svg",
        _ => kind.essence_str() == "application/pdf",
    }
}

/// By the file's name: browsers are told not to guess (X-Content-Type-Options).
fn content_type(path: &str) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = match (kind.type_().as_str(), kind.subtype().as_str()) {
        // XML says so itself.
        ("text", subtype) if subtype != "xml" => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// With nginx, nginx has the player's files, and this is never asked for.
async fn show_player(app: &App, path: Option<FilePath>, headers: &HeaderMap, is_head: bool) -> Response {
    let config = &app.config.playback;
    match (&config.player_dir, path) {
        _ if !config.serve => not_found(),
        (Some(directory), path) => player_of(directory, path, headers, is_head).await,
        (None, path) => {
            let elsewhere = app.config.recordings.s3.as_ref().is_some_and(|s3| s3.redirect);
            own_player(path.as_ref(), elsewhere)
        }
    }
}

/// A file of bbb-playback, or else its page, which finds out by itself which recording it is about.
async fn player_of(directory: &Path, path: Option<FilePath>, headers: &HeaderMap, is_head: bool) -> Response {
    for path in [path, FilePath::parse("index.html")].into_iter().flatten() {
        let content_type = content_type(path.as_str());
        match open_below(directory.to_owned(), path).await {
            Ok(Some(Found::File(file))) => {
                let mut response = file_response::respond(file, content_type, headers, is_head);
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                return response;
            }
            Ok(_) => {}
            Err(failure) => return unreadable(&failure),
        }
    }
    not_found()
}

/// `elsewhere`: films and images are fetched from a bucket.
fn own_player(path: Option<&FilePath>, elsewhere: bool) -> Response {
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
    headers.insert(CONTENT_SECURITY_POLICY, if elsewhere { WITH_BUCKET } else { POLICY });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name() {
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
