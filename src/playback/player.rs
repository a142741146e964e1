//! A small player of presentations: the film, the slides that belong to its time, the chat. For pools
//! that have no other one (bbb-playback); everything that it shows it fetches from `/presentation/{recordID}/`,
//! so what a browser may not see it does not see here either.

use crate::recordings::{FilePath, RecordId};

/// A file of the player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its Content-Type.
    pub content_type: &'static str,
    /// The file itself.
    pub text: &'static str,
}

/// The page of every recording, or what it refers to. None: there is nothing at this path.
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
    fn the_page_of_a_recording_and_what_it_refers_to() {
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
