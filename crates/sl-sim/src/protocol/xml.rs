//! Writing XML by hand: a string, an escape, and nothing else.
//!
//! Deliberately not the balancer's writer and not quick-xml: if that one
//! escapes wrongly, the tests must not agree with it by accident.

use std::fmt::Write as _;

use bytes::Bytes;

/// What XML 1.0 cannot carry, not even as a character reference.
fn forbidden(c: char) -> bool {
    matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Appends `text` to `out`, safe inside an element or a quoted attribute, in
/// XML and in HTML. Characters that XML 1.0 forbids are dropped.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    // Nearly all text is plain. 0xef begins U+FFFE and U+FFFF (and others).
    let plain = |b| !matches!(b, 0..0x20 | b'&' | b'<' | b'>' | b'"' | b'\'' | 0xef);
    if text.bytes().all(plain) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A literal CR would come back as LF (XML 1.0, 2.11).
            '\r' => out.push_str("&#13;"),
            c if forbidden(c) => {}
            c => out.push(c),
        }
    }
}

/// `text` escaped, on its own.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    escape_into(&mut out, text);
    out
}

/// Whether `name` may be an element's name. Metadata names come from clients,
/// so this is what stands between them and broken XML.
pub(crate) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// One `<response>` being written.
pub(crate) struct Xml(String);

impl Xml {
    /// `<response><returncode>SUCCESS</returncode>`
    pub(crate) fn success() -> Xml {
        let mut out = String::with_capacity(1024);
        out.push_str("<response><returncode>SUCCESS</returncode>");
        Xml(out)
    }

    /// A whole FAILED answer with a key and a message.
    pub(crate) fn failed(key: &str, message: &str) -> Bytes {
        let mut xml = Xml(String::with_capacity(256));
        xml.0.push_str("<response><returncode>FAILED</returncode>");
        xml.el("messageKey", key);
        xml.el("message", message);
        xml.end()
    }

    /// A whole FAILED answer in BBB's other form, without a messageKey.
    pub(crate) fn failed_validation(message: &str) -> Bytes {
        let mut out = String::with_capacity(256);
        out.push_str("<response><returncode>FAILED</returncode><errors>");
        out.push_str("<error key=\"validationError\" message=\"");
        escape_into(&mut out, message);
        out.push_str("\"/></errors></response>");
        Bytes::from(out)
    }

    /// `<name>text</name>`, escaped.
    pub(crate) fn el(&mut self, name: &str, text: &str) {
        self.open(name);
        escape_into(&mut self.0, text);
        self.close(name);
    }

    /// `<name>value</name>` for what needs no escaping: numbers and booleans.
    pub(crate) fn val(&mut self, name: &str, value: impl std::fmt::Display) {
        self.open(name);
        // Writing to a String does not fail.
        let _ = write!(self.0, "{value}");
        self.close(name);
    }

    /// `<name>`
    pub(crate) fn open(&mut self, name: &str) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
    }

    /// `</name>`
    pub(crate) fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// `<name/>`
    pub(crate) fn empty(&mut self, name: &str) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push_str("/>");
    }

    /// `</response>`, and the bytes.
    pub(crate) fn end(mut self) -> Bytes {
        self.close("response");
        Bytes::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_forbidden_characters_dropped() {
        assert_eq!(
            escape("a&b<c>\"d'\u{0}\u{1f}\u{b}\u{ffff}\t\n\re é 😀"),
            "a&amp;b&lt;c&gt;&quot;d&#39;\t\n&#13;e é 😀"
        );
    }

    #[test]
    fn names_that_would_break_xml_are_refused() {
        for good in ["a", "tenant-id", "bbb-origin.v2", "_x1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "-a", "a b", "a>", "a/", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn answers_have_their_whole_shape() {
        assert_eq!(
            Xml::failed("k", "m<"),
            "<response><returncode>FAILED</returncode><messageKey>k</messageKey>\
             <message>m&lt;</message></response>"
        );
        let mut xml = Xml::success();
        xml.val("n", 7);
        xml.empty("meetings");
        assert_eq!(xml.end(), "<response><returncode>SUCCESS</returncode><n>7</n><meetings/></response>");
    }
}
