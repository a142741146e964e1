//! Parses the paths of playback. A path is split before it is percent-decoded, so `%2f` is part of a name; no
//! valid name contains a slash, so such a path is refused.

use crate::config::{PlaybackConfig, USUAL_FORMATS};
use crate::recordings::{FilePath, FormatName, RecordId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// One format of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatId {
    /// The recording.
    pub id: RecordId,
    /// The format.
    pub format: FormatName,
}

impl FormatId {
    /// `/{format}/{recordID}`, the path of its files.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.format, self.id)
    }
}

/// The meaning of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaybackTarget {
    /// `/recording/{recordID}/{format}`: a link from getRecordings.
    Link(FormatId),
    /// `/{format}/{recordID}/…`: a file.
    File(FormatId, FilePath),
    /// `/{format}/{recordID}`: needs a slash at its end, because the page there has relative links.
    FormatRoot(FormatId),
    /// An address of older BBB versions, with its new address.
    LegacyLink(String),
    /// `/playback/presentation/2.3/…`: the presentation player. None: its page.
    Player(Option<FilePath>),
    /// `/playback/presentation/2.0/playback.html`, also with other versions or none: the page of an older player. Its
    /// query has the record id as `meetingId`.
    OldPlayer,
    /// Any other path below those of playback.
    Unknown,
}

impl PlaybackTarget {
    /// None if the path does not belong to playback.
    pub fn from_path(path: &str, config: &PlaybackConfig) -> Option<PlaybackTarget> {
        if !is_playback_path(path, &config.formats) {
            return None;
        }
        Some(parse(path, &config.formats).unwrap_or(PlaybackTarget::Unknown))
    }
}

/// Escapes a path for a URL.
pub fn percent_encoded(path: &str) -> impl std::fmt::Display {
    const PLAIN: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    utf8_percent_encode(path, PLAIN)
}

/// Decides by the first names of the path, decoded.
fn is_playback_path(path: &str, formats: &[String]) -> bool {
    let mut names = path
        .split('/')
        .filter(|name| !name.is_empty())
        .map(|name| percent_decode_str(name).decode_utf8_lossy());
    let Some(first) = names.next() else { return false };
    matches!(&*first, "recording" | "playback")
        || formats.iter().any(|format| *format == first)
        || USUAL_FORMATS.contains(&&*first)
        // A format that is not configured.
        || names.next().is_some_and(|second| is_bbb_record_id(&second))
}

/// Whether this is a record id of BBB: SHA-1 in hex and milliseconds.
fn is_bbb_record_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(hash, time)| {
        hash.len() == 40
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
            && time.len() == 13
            && time.bytes().all(|b| b.is_ascii_digit())
    })
}

fn parse(path: &str, formats: &[String]) -> Option<PlaybackTarget> {
    let names = path.strip_prefix('/')?.split('/').map(percent_decoded).collect::<Option<Vec<_>>>()?;
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let format_id = |id: &str, format: &str| {
        let format_id = FormatId { id: RecordId::parse(id)?, format: FormatName::parse(format)? };
        formats.iter().any(|served| *served == format).then_some(format_id)
    };
    match names[..] {
        // Must precede the next arm, which it looks like.
        ["recording", "screenshare", id, ref rest @ ..] => legacy_link("screenshare", id, rest),
        ["recording", id, format] | ["recording", id, format, ""] => {
            Some(PlaybackTarget::Link(format_id(id, format)?))
        }
        ["playback", "video", id, ref rest @ ..] => legacy_link("video", id, rest),
        ["playback", "presentation", "2.3", ref rest @ ..] => player_target(rest),
        ["playback", "presentation", "playback.html"] => Some(PlaybackTarget::OldPlayer),
        ["playback", "presentation", version, "playback.html"] if is_version(version) => {
            Some(PlaybackTarget::OldPlayer)
        }
        [format, id] => Some(PlaybackTarget::FormatRoot(format_id(id, format)?)),
        [format, id, ref rest @ ..] => Some(PlaybackTarget::File(format_id(id, format)?, file_path(rest)?)),
        _ => None,
    }
}

/// A path with a slash at its end means the index.html there.
fn file_path(names: &[&str]) -> Option<FilePath> {
    FilePath::parse(&match names {
        [directories @ .., ""] => [directories, &["index.html"]].concat().join("/"),
        names => names.join("/"),
    })
}

fn legacy_link(format: &str, id: &str, rest: &[&str]) -> Option<PlaybackTarget> {
    let id = RecordId::parse(id)?;
    let rest = match rest {
        [] | [""] => String::new(),
        rest => FilePath::parse(&rest.join("/"))?.as_str().to_owned(),
    };
    Some(PlaybackTarget::LegacyLink(format!("/{format}/{id}/{}", percent_encoded(&rest))))
}

fn is_version(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn player_target(names: &[&str]) -> Option<PlaybackTarget> {
    Some(PlaybackTarget::Player(match names {
        [] | [""] => None,
        // A recording's page, with or without a slash at the end.
        [names @ .., ""] | names => Some(FilePath::parse(&names.join("/"))?),
    }))
}

/// None if the name is not validly percent-encoded UTF-8, or contains a slash.
fn percent_decoded(name: &str) -> Option<Cow<'_, str>> {
    let mut escapes = name.split('%');
    escapes.next();
    let is_hex = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !escapes.all(is_hex) {
        return None;
    }
    percent_decode_str(name).decode_utf8().ok().filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a924781796a25ae5afd3c6c97a3563ec1d9f365f-1767225600000";

    fn of(path: &str) -> Option<PlaybackTarget> {
        let config = crate::config::Config::read(&|_| None).unwrap().playback;
        PlaybackTarget::from_path(&path.replace("ID", ID), &config)
    }

    fn format_id(format: &str) -> FormatId {
        FormatId { id: RecordId::parse(ID).unwrap(), format: FormatName::parse(format).unwrap() }
    }

    #[test]
    fn paths_of_playback() {
        let file = |format: &str, path: &str| {
            Some(PlaybackTarget::File(format_id(format), FilePath::parse(path).unwrap()))
        };
        assert_eq!(of("/recording/ID/video"), Some(PlaybackTarget::Link(format_id("video"))));
        assert_eq!(of("/recording/ID/video/"), Some(PlaybackTarget::Link(format_id("video"))));
        assert_eq!(of("/video/ID/"), file("video", "index.html"));
        assert_eq!(of("/video/ID/video-0.m4v"), file("video", "video-0.m4v"));
        assert_eq!(of("/presentation/ID/presentation/"), file("presentation", "presentation/index.html"));
        assert_eq!(of("/notes/ID/a%20b%3f%25.pdf"), file("notes", "a b?%.pdf"));
        assert_eq!(of("/notes/ID/%c3%BC"), file("notes", "ü"));
        assert_eq!(of("/%76ideo/ID/a"), file("video", "a"));
        assert_eq!(of("/video/ID"), Some(PlaybackTarget::FormatRoot(format_id("video"))));
        let moved = |path: &str| Some(PlaybackTarget::LegacyLink(path.replace("ID", ID)));
        assert_eq!(of("/playback/video/ID"), moved("/video/ID/"));
        assert_eq!(of("/playback/video/ID/"), moved("/video/ID/"));
        assert_eq!(of("/playback/video/ID/a%3fb"), moved("/video/ID/a%3Fb"));
        assert_eq!(of("/recording/screenshare/ID/"), moved("/screenshare/ID/"));
        assert_eq!(of("/playback/presentation/2.3/ID"), Some(PlaybackTarget::Player(FilePath::parse(ID))));
        assert_eq!(of("/playback/presentation/2.3/ID/"), Some(PlaybackTarget::Player(FilePath::parse(ID))));
        assert_eq!(of("/playback/presentation/2.3/"), Some(PlaybackTarget::Player(None)));
        for version in ["2.0/", "0.9.0/", "0.81/", ""] {
            let page = format!("/playback/presentation/{version}playback.html");
            assert_eq!(of(&page), Some(PlaybackTarget::OldPlayer), "{page}");
        }
    }

    #[test]
    fn paths_of_playback_that_lead_nowhere() {
        for path in [
            "/video/ID//video-0.m4v",
            "//video/ID/video-0.m4v",
            "/video//ID/a",
            "/video/ID/../ID/a",
            "/video/ID/a/..",
            "/video/ID/.",
            "/video/ID/%2e%2e/a",
            "/video/ID/%2E%2E%2Fa",
            "/video/ID/a%2fb",
            "/video/ID/a%00",
            "/video/ID/%0d%0aSet-Cookie:x",
            "/video/ID/%",
            "/video/ID/%zz",
            "/video/ID/%ff",
            "/video/..%2fID/a",
            "/video/.sl-work/a",
            "/video/",
            "/video",
            "/recording/ID",
            "/recording/ID/video/x",
            "/recording/ID/none",
            "/recording/ID/..",
            "/recording/screenshare/..%2f",
            "/playback/presentation/2.3/../x",
            "/playback/presentation/2.0/playback.htm",
            "/playback/presentation/x/playback.html",
            "/playback/presentation/../playback.html",
            "/playback/presentation/2.0/a/playback.html",
            "/playback/video/%2e%2e/",
            "/playback",
            "/statistics/ID/stats.html",
        ] {
            assert_eq!(of(path), Some(PlaybackTarget::Unknown), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_ours() {
        for path in
            ["/", "", "/nothing", "/bigbluebutton/api/create", "/videos/x/y", "/%zz", "/recordings/ID2/a"]
        {
            assert_eq!(of(&path.replace("ID2", "x")), None, "{path}");
        }
    }
}
