//! Which part of a recording the link to one of its formats needs. Most links lead to the files of their own format; the
//! video of BBB 2.5 is a file of the presentation (`/presentation/{recordID}/meeting.mp4`).

use super::access::old_player_target;
use super::target::{FormatId, PlaybackTarget};
use crate::config::PlaybackConfig;
use crate::recordings::{FilePath, FormatName};

/// What a cookie admits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieScope {
    /// The format.
    pub format_id: FormatId,
    /// Its path, or that of a file or (with a slash at its end) a directory in it; decoded.
    pub subject: String,
    /// The same as browsers see it in a URL: for which requests they send the cookie.
    pub url_path: String,
}

impl CookieScope {
    /// All files of a format.
    pub fn of_format(format_id: FormatId) -> CookieScope {
        CookieScope { subject: format_id.path(), url_path: format_id.path(), format_id }
    }
}

/// What the link of a format needs in another format of the same recording: a file; with a page, the directory around it;
/// with the player, the presentation. `url`: path and query, escaped. None if it needs nothing there; never another
/// recording.
pub fn scope_outside_format(own: &FormatId, url: &str, config: &PlaybackConfig) -> Option<CookieScope> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let (format_id, file) = match PlaybackTarget::from_path(path, config)? {
        PlaybackTarget::File(format_id, file) => (format_id, Some(file)),
        PlaybackTarget::FormatRoot(format_id) => (format_id, None),
        PlaybackTarget::LegacyLink(to) => return scope_outside_format(own, &to, config),
        PlaybackTarget::OldPlayer => return scope_outside_format(own, &old_player_target(query)?, config),
        PlaybackTarget::Player(Some(page)) if page.as_str() == own.id.as_str() => {
            (FormatId { id: own.id.clone(), format: FormatName::parse("presentation")? }, None)
        }
        PlaybackTarget::Link(_) | PlaybackTarget::Player(_) | PlaybackTarget::Unknown => return None,
    };
    if format_id.id != own.id || format_id.format == own.format {
        return None;
    }
    let whole = CookieScope::of_format(format_id);
    let Some(file) = file else { return Some(whole) };
    let (subject, url_path) = if is_page(&file) {
        match (file.as_str().rsplit_once('/'), path.rsplit_once('/')) {
            (Some((directory, _)), Some((url_directory, _))) => {
                (format!("{}/{directory}/", whole.subject), format!("{url_directory}/"))
            }
            _ => return Some(whole),
        }
    } else {
        (format!("{}/{}", whole.subject, file.as_str()), path.to_owned())
    };
    // A semicolon would end the attribute Path.
    let url_path = if url_path.contains(';') { whole.url_path } else { url_path };
    Some(CookieScope { subject, url_path, format_id: whole.format_id })
}

/// Pages refer to other files beside them.
fn is_page(file: &FilePath) -> bool {
    let name = file.as_str().to_ascii_lowercase();
    [".html", ".htm", ".xhtml"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::RecordId;

    #[test]
    fn scope_is_what_a_link_needs_outside_its_format() {
        let config = crate::config::Config::read(&|_| None).unwrap().playback;
        let video =
            FormatId { id: RecordId::parse("r1").unwrap(), format: FormatName::parse("video").unwrap() };
        let scope = |url: &str| {
            let scope = scope_outside_format(&video, url, &config)?;
            assert_eq!(scope.format_id.id, video.id);
            Some((scope.subject, scope.url_path))
        };
        for (url, subject, path) in [
            ("/presentation/r1/meeting.mp4", "/presentation/r1/meeting.mp4", "/presentation/r1/meeting.mp4"),
            ("/presentation/r1/a%20b.mp4?x=1", "/presentation/r1/a b.mp4", "/presentation/r1/a%20b.mp4"),
            ("/presentation/r1/a;b.mp4", "/presentation/r1/a;b.mp4", "/presentation/r1"),
            ("/presentation/r1/film/", "/presentation/r1/film/", "/presentation/r1/film/"),
            ("/presentation/r1/film/page.html", "/presentation/r1/film/", "/presentation/r1/film/"),
            ("/presentation/r1/", "/presentation/r1", "/presentation/r1"),
            ("/presentation/r1", "/presentation/r1", "/presentation/r1"),
            ("/playback/presentation/2.3/r1", "/presentation/r1", "/presentation/r1"),
            ("/playback/presentation/2.0/playback.html?meetingId=r1", "/presentation/r1", "/presentation/r1"),
            ("/recording/screenshare/r1/", "/screenshare/r1", "/screenshare/r1"),
        ] {
            assert_eq!(scope(url), Some((subject.into(), path.into())), "{url}");
        }
        for url in [
            "/video/r1/film.mp4",
            "/playback/video/r1/",
            "/presentation/r2/meeting.mp4",
            "/playback/presentation/2.3/r2",
            "/playback/presentation/2.0/playback.html?meetingId=r2",
            "/presentation/r1/../r2/meeting.mp4",
            "/presentation/r1%2f..%2fr2/meeting.mp4",
            "/statistics/r1/a.html",
            "/recording/r1/presentation",
            "https://other.example.org/presentation/r1/meeting.mp4",
            "",
        ] {
            assert_eq!(scope(url), None, "{url}");
        }
    }
}
