//! What a path asks for. Paths are taken apart as they came, before anything is decoded: a `%2f` is part
//! of a name and no name has one, so it is nothing.

use crate::config::{PlaybackConfig, USUAL_FORMATS};
use crate::recordings::{FilePath, FormatName, RecordId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// A format of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of which recording.
    pub id: RecordId,
    /// Which format.
    pub format: FormatName,
}

impl Place {
    /// `/{format}/{recordID}`, where its files are.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.format, self.id)
    }
}

/// See the variants; all of them are GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/recording/{recordID}/{format}`: the link that getRecordings gives out.
    Link(Place),
    /// `/{format}/{recordID}/…`: a file.
    File(Place, FilePath),
    /// `/{format}/{recordID}`: a directory, whose page has links that begin below it.
    Bare(Place),
    /// A link of old, and where it leads now.
    Moved(String),
    /// `/playback/presentation/2.3/…`: the player of presentations. None: its page.
    Player(Option<FilePath>),
    /// A path of playback that leads nowhere.
    Nothing,
}

impl Target {
    /// None if the path is not one of playback at all.
    pub fn of(path: &str, config: &PlaybackConfig) -> Option<Target> {
        if !is_ours(path, &config.formats) {
            return None;
        }
        Some(parse(path, &config.formats).unwrap_or(Target::Nothing))
    }
}

/// A path of names, for a URL.
pub fn encoded(path: &str) -> impl std::fmt::Display {
    const PLAIN: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    utf8_percent_encode(path, PLAIN)
}

/// By its first names, however they are written.
fn is_ours(path: &str, formats: &[String]) -> bool {
    let mut names = path
        .split('/')
        .filter(|name| !name.is_empty())
        .map(|name| percent_decode_str(name).decode_utf8_lossy());
    let Some(first) = names.next() else { return false };
    matches!(&*first, "recording" | "playback")
        || formats.iter().any(|format| *format == first)
        || USUAL_FORMATS.contains(&&*first)
        // A format that is not served.
        || names.next().is_some_and(|second| is_bbbs(&second))
}

/// A record id as BBB makes them: SHA-1 in hex and milliseconds.
fn is_bbbs(id: &str) -> bool {
    id.split_once('-').is_some_and(|(hash, time)| {
        hash.len() == 40
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
            && time.len() == 13
            && time.bytes().all(|b| b.is_ascii_digit())
    })
}

fn parse(path: &str, formats: &[String]) -> Option<Target> {
    let names = path.strip_prefix('/')?.split('/').map(decoded).collect::<Option<Vec<_>>>()?;
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let place = |id: &str, format: &str| {
        let place = Place { id: RecordId::parse(id)?, format: FormatName::parse(format)? };
        formats.iter().any(|served| *served == format).then_some(place)
    };
    match names[..] {
        // Screenshare's own, which looks like the next one.
        ["recording", "screenshare", id, ref rest @ ..] => moved("screenshare", id, rest),
        ["recording", id, format] | ["recording", id, format, ""] => Some(Target::Link(place(id, format)?)),
        ["playback", "video", id, ref rest @ ..] => moved("video", id, rest),
        ["playback", "presentation", "2.3", ref rest @ ..] => player(rest),
        [format, id] => Some(Target::Bare(place(id, format)?)),
        [format, id, ref rest @ ..] => Some(Target::File(place(id, format)?, file(rest)?)),
        _ => None,
    }
}

/// A directory stands for its page.
fn file(names: &[&str]) -> Option<FilePath> {
    FilePath::parse(&match names {
        [directories @ .., ""] => [directories, &["index.html"]].concat().join("/"),
        names => names.join("/"),
    })
}

fn moved(format: &str, id: &str, rest: &[&str]) -> Option<Target> {
    let id = RecordId::parse(id)?;
    let rest = match rest {
        [] | [""] => String::new(),
        rest => FilePath::parse(&rest.join("/"))?.as_str().to_owned(),
    };
    Some(Target::Moved(format!("/{format}/{id}/{}", encoded(&rest))))
}

fn player(names: &[&str]) -> Option<Target> {
    Some(Target::Player(match names {
        [] | [""] => None,
        // The page of a recording, with or without a slash at its end.
        [names @ .., ""] | names => Some(FilePath::parse(&names.join("/"))?),
    }))
}

/// None for what is not UTF-8, not percent-encoded, or has a slash inside.
fn decoded(name: &str) -> Option<Cow<'_, str>> {
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

    fn of(path: &str) -> Option<Target> {
        let config = crate::config::Config::read(&|_| None).unwrap().playback;
        Target::of(&path.replace("ID", ID), &config)
    }

    fn place(format: &str) -> Place {
        Place { id: RecordId::parse(ID).unwrap(), format: FormatName::parse(format).unwrap() }
    }

    #[test]
    fn paths_of_playback() {
        let file =
            |format: &str, path: &str| Some(Target::File(place(format), FilePath::parse(path).unwrap()));
        assert_eq!(of("/recording/ID/video"), Some(Target::Link(place("video"))));
        assert_eq!(of("/recording/ID/video/"), Some(Target::Link(place("video"))));
        assert_eq!(of("/video/ID/"), file("video", "index.html"));
        assert_eq!(of("/video/ID/video-0.m4v"), file("video", "video-0.m4v"));
        assert_eq!(of("/presentation/ID/presentation/"), file("presentation", "presentation/index.html"));
        assert_eq!(of("/notes/ID/a%20b%3f%25.pdf"), file("notes", "a b?%.pdf"));
        assert_eq!(of("/notes/ID/%c3%BC"), file("notes", "ü"));
        assert_eq!(of("/%76ideo/ID/a"), file("video", "a"));
        assert_eq!(of("/video/ID"), Some(Target::Bare(place("video"))));
        let moved = |path: &str| Some(Target::Moved(path.replace("ID", ID)));
        assert_eq!(of("/playback/video/ID"), moved("/video/ID/"));
        assert_eq!(of("/playback/video/ID/"), moved("/video/ID/"));
        assert_eq!(of("/playback/video/ID/a%3fb"), moved("/video/ID/a%3Fb"));
        assert_eq!(of("/recording/screenshare/ID/"), moved("/screenshare/ID/"));
        assert_eq!(of("/playback/presentation/2.3/ID"), Some(Target::Player(FilePath::parse(ID))));
        assert_eq!(of("/playback/presentation/2.3/ID/"), Some(Target::Player(FilePath::parse(ID))));
        assert_eq!(of("/playback/presentation/2.3/"), Some(Target::Player(None)));
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
            "/playback/presentation/2.0/playback.html",
            "/playback/video/%2e%2e/",
            "/playback",
            "/statistics/ID/stats.html",
        ] {
            assert_eq!(of(path), Some(Target::Nothing), "{path}");
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
