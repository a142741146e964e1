//! Element names that every XML parser accepts.
//!
//! XML 1.0 has two definitions of a name: that of its fourth edition, which expat (Python, PHP's `xml_parse`)
//! implements, and the wider one of its fifth edition, which libxml2 (PHP's SimpleXML, Ruby) implements. What is
//! valid here is valid in both. Colons are not: they would refer to namespaces that are not declared.

use std::borrow::Cow;

/// Longer names are not valid. libxml2 rejects names of more than 50,000 bytes.
pub const MAX_NAME_BYTES: usize = 1000;

/// Longer names are shortened to this many characters.
const MAX_NAME_CHARS: usize = 200;

/// Of the letters beyond ASCII that both editions allow, the ranges of at least a dozen.
const LETTERS: [(char, char); 43] = [
    ('\u{c0}', '\u{d6}'),
    ('\u{d8}', '\u{f6}'),
    ('\u{f8}', '\u{131}'),
    ('\u{134}', '\u{13e}'),
    ('\u{141}', '\u{148}'),
    ('\u{14a}', '\u{17e}'),
    ('\u{180}', '\u{1c3}'),
    ('\u{1cd}', '\u{1f0}'),
    ('\u{1fa}', '\u{217}'),
    ('\u{250}', '\u{2a8}'),
    ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{3ce}'),
    ('\u{401}', '\u{40c}'),
    ('\u{40e}', '\u{44f}'),
    ('\u{451}', '\u{45c}'),
    ('\u{45e}', '\u{481}'),
    ('\u{490}', '\u{4c4}'),
    ('\u{4d0}', '\u{4eb}'),
    ('\u{531}', '\u{556}'),
    ('\u{561}', '\u{586}'),
    ('\u{5d0}', '\u{5ea}'),
    ('\u{621}', '\u{63a}'),
    ('\u{641}', '\u{64a}'),
    ('\u{671}', '\u{6b7}'),
    ('\u{6c0}', '\u{6ce}'),
    ('\u{905}', '\u{939}'),
    ('\u{993}', '\u{9a8}'),
    ('\u{a13}', '\u{a28}'),
    ('\u{a93}', '\u{aa8}'),
    ('\u{b13}', '\u{b28}'),
    ('\u{c12}', '\u{c28}'),
    ('\u{c92}', '\u{ca8}'),
    ('\u{d12}', '\u{d28}'),
    ('\u{d2a}', '\u{d39}'),
    ('\u{e01}', '\u{e2e}'),
    ('\u{10a0}', '\u{10c5}'),
    ('\u{10d0}', '\u{10f6}'),
    ('\u{1e00}', '\u{1e9b}'),
    ('\u{1ea0}', '\u{1ef9}'),
    ('\u{3041}', '\u{3094}'),
    ('\u{30a1}', '\u{30fa}'),
    ('\u{4e00}', '\u{9fa5}'),
    ('\u{ac00}', '\u{d7a3}'),
];

/// Whether a name may begin with this character.
fn is_start(c: char) -> bool {
    match c {
        'A'..='Z' | 'a'..='z' | '_' => true,
        '\0'..='\u{7f}' => false,
        c => LETTERS.iter().any(|(first, last)| (*first..=*last).contains(&c)),
    }
}

/// Whether this character may follow in a name.
fn is_inside(c: char) -> bool {
    is_start(c) || matches!(c, '0'..='9' | '-' | '.' | '\u{b7}')
}

/// Whether this is the name of an element in every parser.
pub fn is_element_name(name: &str) -> bool {
    let is_ascii_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    name.starts_with(is_start)
        && name.len() <= MAX_NAME_BYTES
        && (is_ascii_name || name.chars().all(is_inside))
}

/// The name of an element from any text: unchanged if it is one; otherwise every invalid character becomes `_`,
/// and the first 200 characters are kept.
pub fn element_name(text: &str) -> Cow<'_, str> {
    if is_element_name(text) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len().min(4 * MAX_NAME_CHARS) + 1);
    for c in text.chars().take(MAX_NAME_CHARS) {
        if out.is_empty() && is_inside(c) && !is_start(c) {
            out.push('_');
        }
        out.push(if is_inside(c) { c } else { '_' });
    }
    if out.is_empty() { "_".into() } else { out.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_valid_element_name() {
        for (given, written) in [
            ("bbb-origin", "bbb-origin"),
            ("größe", "größe"),
            ("a b", "a_b"),
            ("1st", "_1st"),
            ("a:b", "a_b"),
            ("<x/>", "_x__"),
            ("", "_"),
            ("-", "_-"),
            ("\u{1f600}", "_"),
            ("a\u{301}", "a_"),
        ] {
            assert_eq!(element_name(given), written, "{given}");
            assert!(is_element_name(written), "{written}");
        }
        assert_eq!(element_name(&"é".repeat(1000)).chars().count(), 200);
        assert_eq!(element_name(&"e".repeat(1000)).len(), 1000);
    }

    #[test]
    fn only_names_are_names() {
        for name in ["", "1a", "-a", "a b", "a:b", "a/", "a>", "a\u{b}", "\u{b7}a", "a\u{2f00}"] {
            assert!(!is_element_name(name), "{name}");
        }
        assert!(!is_element_name(&"a".repeat(1001)));
    }
}
