//! Writes XML directly into bytes.

use super::xml_reader::is_forbidden;
use std::borrow::Cow;

/// Bytes that may need escaping: markup, control characters, and the first byte of U+FFFE and U+FFFF.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut n = 0;
    while n < 0x20 {
        table[n] = true;
        n += 1;
    }
    table[b'&' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'"' as usize] = true;
    table[b'\'' as usize] = true;
    table[0xef] = true;
    table
};

/// Writes the text of an element or an attribute.
pub fn text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| SPECIAL[byte as usize]) {
        out.extend_from_slice(escape(text).as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Escapes text for an element or an attribute. Characters that XML 1.0 forbids become U+FFFD.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| matches!(c, '&' | '<' | '>' | '"' | '\'') || is_forbidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if is_forbidden(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `<name>text</name>`
pub fn element(out: &mut Vec<u8>, name: &str, value: &str) {
    open(out, name);
    text(out, value);
    close(out, name);
}

/// `<name>17</name>`: a value that needs no escaping.
pub fn plain(out: &mut Vec<u8>, name: &str, value: impl std::fmt::Display) {
    use std::io::Write;
    open(out, name);
    // Writing into memory does not fail.
    let _ = write!(out, "{value}");
    close(out, name);
}

/// `<name>`
pub fn open(out: &mut Vec<u8>, name: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

/// `</name>`
pub fn close(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bbb::xml_name::element_name;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_written_text_reads_back(key in "\\PC{0,8}", value in "\\PC{0,40}") {
            let mut out = b"<response><returncode>SUCCESS</returncode>".to_vec();
            element(&mut out, &element_name(&key), &value);
            out.extend_from_slice(b"</response>");
            let read = super::super::xml_reader::read_field(&out, &element_name(&key));
            let expected: String = escape(&value).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
                .replace("&apos;", "'").replace("&amp;", "&");
            prop_assert_eq!(read.unwrap(), expected.trim());
        }
    }
}
