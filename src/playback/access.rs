//! Access control of playback. A client cannot tell an unknown recording from one that is unpublished, deleted, or
//! protected and requested without a token or cookie: the decision is always [`PlaybackDecision::NotFound`].

use super::link_scope::{CookieScope, scope_outside_format};
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
    /// Redirect to this URL, with these values of Set-Cookie.
    Redirect(String, Vec<String>),
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
        PlaybackTarget::File(format_id, path) => {
            Ok(match check.allowed_recording(&format_id, Some(&path)).await? {
                Some(PlayableRecording { protected }) => {
                    PlaybackDecision::File(AllowedFile { format_id, path, protected })
                }
                None => PlaybackDecision::NotFound,
            })
        }
        PlaybackTarget::FormatRoot(format_id) => {
            Ok(match check.allowed_recording(&format_id, None).await? {
                Some(_) => redirect(append_query(format!("{}/", format_id.path()), query)),
                None => PlaybackDecision::NotFound,
            })
        }
        // The new address checks access.
        PlaybackTarget::LegacyLink(to) => Ok(redirect(append_query(to, query))),
        PlaybackTarget::OldPlayer => {
            Ok(old_player_target(query).map_or(PlaybackDecision::NotFound, redirect))
        }
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

    /// The recording, if this browser may see the file, or (None) the format: the recording is not protected, or the
    /// request has a cookie for it.
    async fn allowed_recording(
        &self,
        format_id: &FormatId,
        file: Option<&FilePath>,
    ) -> Result<Option<PlayableRecording>, PlaybackError> {
        let Some(found) = self.playable_recording(&format_id.id).await? else { return Ok(None) };
        let admitted =
            !found.protected
                || self.app.config.playback.secret_key_base.as_ref().is_some_and(|key| {
                    cookie::has_valid_cookie(key, format_id, file, self.headers, self.now)
                });
        Ok(admitted.then_some(found))
    }

    /// Uses up the token of a link to a protected recording, and exchanges it for a cookie; for two, if the link leads
    /// out of its format. The other parameters are passed on.
    async fn decide_link(&self, format_id: FormatId) -> Result<PlaybackDecision, PlaybackError> {
        let config = &self.app.config;
        let Some(found) = self.playable_format(&format_id).await? else {
            return Ok(PlaybackDecision::NotFound);
        };
        let Some(to) = redirect_target(&found.url) else { return Ok(PlaybackDecision::NotFound) };
        let onward = append_other_params(&to, self.query);
        if !found.protected {
            return Ok(redirect(onward));
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
            return Ok(redirect(onward));
        }
        let outside = scope_outside_format(&format_id, &to, &config.playback);
        let scopes = [Some(CookieScope::of_format(format_id)), outside].into_iter().flatten();
        let lifetime = config.playback.cookie_timeout;
        let cookies = scopes.map(|scope| cookie::issue(key, &scope, self.now, lifetime)).collect();
        Ok(PlaybackDecision::Redirect(onward, cookies))
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

fn redirect(to: String) -> PlaybackDecision {
    PlaybackDecision::Redirect(to, Vec::new())
}

/// The address of a link for which an older player was asked: today's player, or with a token, the link that exchanges it
/// for a cookie. The other parameters are kept as they are.
pub(super) fn old_player_target(query: &str) -> Option<String> {
    let name_is = |pair: &str, name: &str| {
        form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let id = query.split('&').find(|pair| name_is(pair, "meetingId"))?;
    let (_, id) = form_urlencoded::parse(id.as_bytes()).next()?;
    let id = RecordId::parse(id.trim())?;
    let others: Vec<&str> = query.split('&').filter(|pair| !name_is(pair, "meetingId")).collect();
    let page = match parse_token(query) {
        Some(_) => format!("/recording/{id}/presentation"),
        None => format!("/playback/presentation/2.3/{id}"),
    };
    Some(append_query(page, &others.join("&")))
}

/// The parameters other than the token, behind a link's own ones. A link to another host gets none.
fn append_other_params(to: &str, query: &str) -> String {
    let is_token = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "token");
    let others: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_token(pair)).collect();
    if others.is_empty() || !to.starts_with('/') || to.contains('#') {
        return to.to_owned();
    }
    let separator = if to.contains('?') { '&' } else { '?' };
    format!("{to}{separator}{}", others.join("&"))
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
    fn old_player_target_keeps_other_parameters() {
        let to = |query: &str| old_player_target(query);
        assert_eq!(to("meetingId=r-1").as_deref(), Some("/playback/presentation/2.3/r-1"));
        assert_eq!(
            to("t=1%2B&meetingid=r%2D1&layout=a+b&x").as_deref(),
            Some("/playback/presentation/2.3/r-1?t=1%2B&layout=a+b&x")
        );
        let token = "0123456789abcdef".repeat(4);
        assert_eq!(
            to(&format!("meetingId=r-1&token={token}&t=1")),
            Some(format!("/recording/r-1/presentation?token={token}&t=1"))
        );
        for nowhere in
            ["", "meetingId", "meetingId=", "meetingId=..%2Fr", "x=meetingId=r", "meetingId=a%0d%0ab"]
        {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn append_other_params_drops_the_token() {
        assert_eq!(append_other_params("/a", "token=1"), "/a");
        assert_eq!(append_other_params("/a", "token=1&t=2&&u"), "/a?t=2&u");
        assert_eq!(append_other_params("/a?b", "t=2&%74oken=1"), "/a?b&t=2");
        assert_eq!(append_other_params("https://other.example.org/a", "t=2"), "https://other.example.org/a");
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
