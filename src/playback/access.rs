//! Whether something of a recording may be seen. What is unpublished, deleted or unknown, and what is
//! protected and comes without its token or cookie, is all the same to who asks: there is no such thing.

use super::target::{Place, Target};
use super::{cookie, encoded};
use crate::app::App;
use crate::db::DbError;
use crate::recordings::index::{Playable, PlayableFormat};
use crate::recordings::{FilePath, RecordId, Recordings};
use crate::store::StoreError;
use http::HeaderMap;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::time::SystemTime;

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go there, with this cookie (Set-Cookie), if there is one.
    Redirect(String, Option<String>),
    /// This file, if it is there.
    File(Seen),
    /// The player of presentations; see [`Target::Player`].
    Player(Option<FilePath>),
    /// There is no such recording, or not for this browser.
    NotFound,
}

/// A file that may be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of which format.
    pub place: Place,
    /// Below it.
    pub path: FilePath,
    /// Only by this browser: nobody on the way is to keep it.
    pub protected: bool,
}

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The index.
    #[error(transparent)]
    Index(#[from] DbError),
    /// The state, where tokens are.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides.
pub async fn answer(
    app: &App,
    target: Target,
    query: &str,
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<Answer, PlaybackError> {
    let Some(recordings) = &app.recordings else { return Ok(Answer::NotFound) };
    let viewer = Viewer { app, recordings, query, headers, now };
    match target {
        Target::Link(place) => viewer.link(place).await,
        Target::File(place, path) => Ok(match viewer.sees(&place).await? {
            Some(found) => Answer::File(Seen { place, path, protected: viewer.is_protected(found) }),
            None => Answer::NotFound,
        }),
        Target::Bare(place) => Ok(match viewer.sees(&place).await? {
            Some(_) => Answer::Redirect(with_query(format!("{}/", place.path()), query), None),
            None => Answer::NotFound,
        }),
        // Whether it may be seen shows there.
        Target::Moved(to) => Ok(Answer::Redirect(with_query(to, query), None)),
        Target::Player(path) => Ok(Answer::Player(path)),
        Target::Nothing => Ok(Answer::NotFound),
    }
}

/// Who asks, and with what.
struct Viewer<'r> {
    app: &'r App,
    recordings: &'r Recordings,
    query: &'r str,
    headers: &'r HeaderMap,
    now: SystemTime,
}

impl Viewer<'_> {
    /// The recording, if it is there for whoever is asking here: this and [`Viewer::format`] are the only
    /// ways to one. With tenants, a recording of another one is None in both.
    async fn recording(&self, id: &RecordId) -> Result<Option<Playable>, DbError> {
        self.recordings.index.playable(id).await
    }

    /// A format of it, in the same way.
    async fn format(&self, place: &Place) -> Result<Option<PlayableFormat>, DbError> {
        self.recordings.index.playable_format(&place.id, &place.format).await
    }

    fn is_protected(&self, recording: Playable) -> bool {
        recording.protected && self.app.config.recordings.protected_enabled
    }

    /// The recording, if this browser may see its files.
    async fn sees(&self, place: &Place) -> Result<Option<Playable>, PlaybackError> {
        let Some(found) = self.recording(&place.id).await? else { return Ok(None) };
        let admitted = !self.is_protected(found)
            || self
                .app
                .config
                .playback
                .secret_key_base
                .as_ref()
                .is_some_and(|key| cookie::admits(key, place, self.headers, self.now));
        Ok(admitted.then_some(found))
    }

    async fn link(&self, place: Place) -> Result<Answer, PlaybackError> {
        let config = &self.app.config;
        let Some(found) = self.format(&place).await? else { return Ok(Answer::NotFound) };
        let Some(to) = location(&found.url) else { return Ok(Answer::NotFound) };
        if !self.is_protected(Playable { protected: found.protected }) {
            return Ok(Answer::Redirect(to, None));
        }
        let (Some(key), Some(token)) = (&config.playback.secret_key_base, token(self.query)) else {
            return Ok(Answer::NotFound);
        };
        // Whatever it is good for, it is used up now.
        let taken = self.app.store.take_playback_token(&token).await?;
        let good =
            taken.is_some_and(|t| t.record_id == place.id.as_str() && t.format == place.format.as_str());
        if !good {
            return Ok(Answer::NotFound);
        }
        let cookie = cookie::issue(key, &place, self.now, config.playback.cookie_timeout);
        Ok(Answer::Redirect(to, Some(cookie)))
    }
}

/// The one token of a query: 64 hex digits, as we make them. Redis is not asked for anything else.
fn token(query: &str) -> Option<String> {
    let mut tokens =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "token").map(|(_, value)| value);
    let token = tokens.next()?.into_owned();
    let is_one = token.len() == 64 && token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_one && tokens.next().is_none()).then_some(token)
}

/// Where a format's player is, as a header can carry it: a path of ours, or a whole link that an import
/// has left as it was. A backslash would be a slash to browsers, and `//` another host.
fn location(url: &str) -> Option<String> {
    const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\');
    let is_path = url.starts_with('/') && !url.starts_with("//");
    let is_link = url.starts_with("https://") || url.starts_with("http://");
    (is_path || is_link).then(|| utf8_percent_encode(url, UNSAFE).to_string())
}

fn with_query(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

impl Seen {
    /// Its path as URLs have it.
    pub fn url(&self) -> String {
        format!("{}/{}", self.place.path(), encoded(self.path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_64_digits_and_there_is_one() {
        let one = "0123456789abcdef".repeat(4);
        assert_eq!(token(&format!("a=b&token={one}")).as_deref(), Some(one.as_str()));
        for query in [
            String::new(),
            "token=".into(),
            format!("token={}", &one[1..]),
            format!("token={one}0"),
            format!("token={}", one.to_uppercase()),
            format!("token={}*", &one[1..]),
            format!("token={one}&token={one}"),
        ] {
            assert_eq!(token(&query), None, "{query}");
        }
    }

    #[test]
    fn a_link_leads_to_a_path_or_a_whole_url() {
        let to = |url: &str| location(url);
        assert_eq!(to("/playback/video/r1/").as_deref(), Some("/playback/video/r1/"));
        assert_eq!(to("/a?b=%20ü\r\n").as_deref(), Some("/a?b=%20%C3%BC%0D%0A"));
        assert_eq!(to("/\\evil.example.org").as_deref(), Some("/%5Cevil.example.org"));
        assert_eq!(to("https://player.example.org/r1").as_deref(), Some("https://player.example.org/r1"));
        for nowhere in ["//evil.example.org/", "javascript:alert(1)", "", "r1"] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
    }
}
