//! The forms of meeting ids that BBB takes for the same meeting.

/// The id without the characters that BBB removes at its ends: Java's white space and the control characters. The spaces
/// that forbid a line break (U+00A0, U+2007, U+202F) belong to the id.
pub fn trim(id: &str) -> &str {
    id.trim_matches(|c: char| {
        c <= ' '
            || c == '\u{7f}'
            || (c.is_whitespace() && !matches!(c, '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}'))
    })
}

/// Whether the id may be an internal one: hex SHA-1 of the meetingID, a dash, the create time. Nearly all ids are shorter.
pub fn may_be_internal(id: &str) -> bool {
    let id = id.as_bytes();
    id.len() > 41 && id[40] == b'-' && id[..40].iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_trimmed_as_java_strips_them() {
        for (given, id) in [
            (" room 0 ", "room 0"),
            ("\t\r\n\u{b}\u{1f}\u{7f}m\0", "m"),
            ("\u{2003}m\u{3000}\u{2028}", "m"),
            ("\u{a0}m\u{2007}\u{202f}\u{85}", "\u{a0}m\u{2007}\u{202f}\u{85}"),
            (" \u{3000}\t", ""),
            ("é", "é"),
        ] {
            assert_eq!(trim(given), id, "{given:?}");
        }
    }

    #[test]
    fn internal_ids_are_recognised_by_their_form() {
        let hash = "f6c5e47a7adc27eaccd1dd15a9ed6a2b44de2a53";
        assert!(may_be_internal(&format!("{hash}-1764089000000")));
        for id in
            ["m1", hash, &format!("{hash}-"), &format!("x{hash}-1"), &format!("{hash}1-1"), &"é".repeat(40)]
        {
            assert!(!may_be_internal(id), "{id}");
        }
    }
}
