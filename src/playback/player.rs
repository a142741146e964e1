//! A small presentation player: video, the slides of the current time, chat. For pools without bbb-playback. It
//! fetches everything that it shows from `/presentation/{recordID}/`, where access is checked.

use crate::recordings::{FilePath, RecordId};

/// A file of the player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Content-Type.
    pub content_type: &'static str,
    /// Content.
    pub text: &'static str,
}

/// The page of a recording, or a file that the page refers to. None for other paths.
pub fn asset(path: &FilePath) -> Option<Asset> {
    let (content_type, text) = match path.as_str() {
        "player.js" => ("text/javascript; charset=utf-8", include_str!("player/player.js")),
        "player.css" => ("text/css; charset=utf-8", include_str!("player/player.css")),
        id => {
            RecordId::parse(id)?;
            ("text/html; charset=utf-8", include_str!("player/player.html"))
        }
    };
    Some(Asset { content_type, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asset_has_the_page_and_every_file_that_it_refers_to() {
        let at = |path: &str| asset(&FilePath::parse(path).unwrap()).map(|asset| asset.content_type);
        assert_eq!(at("r1-1767225600000"), Some("text/html; charset=utf-8"));
        for name in ["player.js", "player.css"] {
            assert!(
                include_str!("player/player.html").contains(&format!("/playback/presentation/2.3/{name}"))
            );
            assert!(at(name).is_some());
        }
        assert_eq!(at("r1/x"), None);
        assert_eq!(at("other.js"), None);
    }
}
