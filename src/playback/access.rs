//! Access control of playback. A client cannot tell an unknown recording from one that is unpublished, deleted, or
//! protected and requested without a token or cookie: the decision is always [`PlaybackDecision::NotFound`].

use super::target::{FormatId, PlaybackTarget};
use super::{cookie, percent_encoded};
use crate::app::App;
use crate::db::DbError;
use crate::recordings::index::{PlayableFormat, PlayableRecording};
use crate::recordings::{FilePath, RecordId, Recordings};
use crate::store::StoreError;
use http::HeaderMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::time::SystemTime;

/// How to respond to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaybackDecision {
    /// Redirect to this URL, with this value of Set-Cookie, if any.
    Redirect(String, Option<String>),
    /// Send this file, if it exists.
    File(AllowedFile),
    /// Send a file of the presentation player; see [`PlaybackTarget::Player`].
    Player(Option<FilePath>),
    /// The recording does not exist, or this browser may not see it.
    NotFound,
}

/// A file that this client may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedFile {
    /// The format.
    pub format_id: FormatId,
    /// The path within the format.
    pub path: FilePath,
    /// Only this browser may see it, so shared caches must not store it.
    pub protected: bool,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The index failed.
    #[error(transparent)]
    Index(#[from] DbError),
    /// Redis failed, which holds the tokens.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides how to respond to a request. `query` is its raw query string. HEAD uses up no token, and gets no cookie.
pub async fn decide(
    app: &App,
    target: PlaybackTarget,
    query: &str,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<PlaybackDecision, PlaybackError> {
    let Some(recordings) = &app.recordings else { return Ok(PlaybackDecision::NotFound) };
    let check = AccessCheck { app, recordings, query, headers, is_head, now: SystemTime::now() };
    match target {
        PlaybackTarget::Link(format_id) => check.decide_link(format_id).await,
        PlaybackTarget::File(format_id, path) => Ok(match check.allowed_recording(&format_id).await? {
            Some(found) => {
                PlaybackDecision::File(AllowedFile { format_id, path, protected: check.is_protected(found) })
            }
            None => PlaybackDecision::NotFound,
        }),
        PlaybackTarget::FormatRoot(format_id) => Ok(match check.allowed_recording(&format_id).await? {
            Some(_) => {
                PlaybackDecision::Redirect(append_query(format!("{}/", format_id.path()), query), None)
            }
            None => PlaybackDecision::NotFound,
        }),
        // The new address checks access.
        PlaybackTarget::LegacyLink(to) => Ok(PlaybackDecision::Redirect(append_query(to, query), None)),
        PlaybackTarget::Player(path) => Ok(PlaybackDecision::Player(path)),
        PlaybackTarget::Unknown => Ok(PlaybackDecision::NotFound),
    }
}

/// The access check of one request.
struct AccessCheck<'r> {
    app: &'r App,
    recordings: &'r Recordings,
    query: &'r str,
    headers: &'r HeaderMap,
    is_head: bool,
    now: SystemTime,
}

impl AccessCheck<'_> {
    /// The recording, if this request may know of it. All lookups go through this or
    /// [`AccessCheck::playable_format`]: with tenants, both will return None for recordings of other tenants.
    async fn playable_recording(&self, id: &RecordId) -> Result<Option<PlayableRecording>, DbError> {
        self.recordings.index.playable(id).await
    }

    /// The same for a format of a recording.
    async fn playable_format(&self, format_id: &FormatId) -> Result<Option<PlayableFormat>, DbError> {
        self.recordings.index.playable_format(&format_id.id, &format_id.format).await
    }

    fn is_protected(&self, recording: PlayableRecording) -> bool {
        recording.protected && self.app.config.recordings.protected_enabled
    }

    /// The recording, if this browser may see its files: it is not protected, or the request has its cookie.
    async fn allowed_recording(
        &self,
        format_id: &FormatId,
    ) -> Result<Option<PlayableRecording>, PlaybackError> {
        let Some(found) = self.playable_recording(&format_id.id).await? else { return Ok(None) };
        let admitted = !self.is_protected(found)
            || self
                .app
                .config
                .playback
                .secret_key_base
                .as_ref()
                .is_some_and(|key| cookie::has_valid_cookie(key, format_id, self.headers, self.now));
        Ok(admitted.then_some(found))
    }

    /// Uses up the token of a link to a protected recording, and exchanges it for a cookie.
    async fn decide_link(&self, format_id: FormatId) -> Result<PlaybackDecision, PlaybackError> {
        let config = &self.app.config;
        let Some(found) = self.playable_format(&format_id).await? else {
            return Ok(PlaybackDecision::NotFound);
        };
        let Some(to) = redirect_target(&found.url) else { return Ok(PlaybackDecision::NotFound) };
        if !self.is_protected(PlayableRecording { protected: found.protected }) {
            return Ok(PlaybackDecision::Redirect(to, None));
        }
        let (Some(key), Some(token)) = (&config.playback.secret_key_base, parse_token(self.query)) else {
            return Ok(PlaybackDecision::NotFound);
        };
        // A token is used up now, even if it belongs to another recording.
        let issued_for = match self.is_head {
            true => self.app.store.peek_playback_token(&token).await?,
            false => self.app.store.take_playback_token(&token).await?,
        };
        let is_valid = issued_for
            .is_some_and(|t| t.record_id == format_id.id.as_str() && t.format == format_id.format.as_str());
        if !is_valid {
            return Ok(PlaybackDecision::NotFound);
        }
        if self.is_head {
            return Ok(PlaybackDecision::Redirect(to, None));
        }
        let cookie = cookie::issue(key, &format_id, self.now, config.playback.cookie_timeout);
        Ok(PlaybackDecision::Redirect(to, Some(cookie)))
    }
}

/// The token of a query: 64 lower-case hex digits, as getRecordings creates them. Anything else needs no query to
/// Redis, and a query with two tokens counts as having none.
fn parse_token(query: &str) -> Option<String> {
    let mut tokens =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "token").map(|(_, value)| value);
    let token = tokens.next()?.into_owned();
    let is_one = token.len() == 64 && token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_one && tokens.next().is_none()).then_some(token)
}

/// The address of a format's player, escaped for a header: a path of this host, or an absolute URL from metadata.xml.
/// Browsers read a backslash as a slash, and `//` begins another host: neither may get through.
fn redirect_target(url: &str) -> Option<String> {
    const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\');
    let is_path = url.starts_with('/') && !url.starts_with("//");
    let is_link = url.starts_with("https://") || url.starts_with("http://");
    (is_path || is_link).then(|| utf8_percent_encode(url, UNSAFE).to_string())
}

fn append_query(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

impl AllowedFile {
    /// Its path as part of a URL.
    pub fn url(&self) -> String {
        format!("{}/{}", self.format_id.path(), percent_encoded(self.path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_token_accepts_exactly_one_token_of_64_hex_digits() {
        let one = "0123456789abcdef".repeat(4);
        assert_eq!(parse_token(&format!("a=b&token={one}")).as_deref(), Some(one.as_str()));
        for query in [
            String::new(),
            "token=".into(),
            format!("token={}", &one[1..]),
            format!("token={one}0"),
            format!("token={}", one.to_uppercase()),
            format!("token={}*", &one[1..]),
            format!("token={one}&token={one}"),
        ] {
            assert_eq!(parse_token(&query), None, "{query}");
        }
    }

    #[test]
    fn redirect_target_is_a_path_or_an_absolute_url() {
        let to = |url: &str| redirect_target(url);
        assert_eq!(to("/playback/video/r1/").as_deref(), Some("/playback/video/r1/"));
        assert_eq!(to("/a?b=%20ü\r\n").as_deref(), Some("/a?b=%20%C3%BC%0D%0A"));
        assert_eq!(to("/\\evil.example.org").as_deref(), Some("/%5Cevil.example.org"));
        assert_eq!(to("https://player.example.org/r1").as_deref(), Some("https://player.example.org/r1"));
        for nowhere in ["//evil.example.org/", "javascript:alert(1)", "", "r1"] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
    }
}
