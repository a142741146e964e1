//! Writes XML into a string.
//!
//! Deliberately neither the proxy's writer nor quick-xml: if that escapes wrongly, the tests must not agree with it by
//! accident.

use std::fmt::Write as _;

use bytes::Bytes;

/// Appends `text`, escaped for an element or a quoted attribute of XML or HTML. Like BBB's template engine, it
/// passes on characters that XML 1.0 forbids.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    // Fast path: most text needs no escaping.
    let is_plain = |b| !matches!(b, b'\r' | b'&' | b'<' | b'>' | b'"' | b'\'');
    if text.bytes().all(is_plain) {
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
            // Parsers turn a literal CR into LF (XML 1.0, 2.11).
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

/// `text`, escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    escape_into(&mut out, text);
    out
}

/// Writes one `<response>`.
pub(crate) struct XmlWriter(String);

impl XmlWriter {
    /// `<response><returncode>SUCCESS</returncode>`
    pub(crate) fn success() -> XmlWriter {
        let mut out = String::with_capacity(1024);
        out.push_str("<response><returncode>SUCCESS</returncode>");
        XmlWriter(out)
    }

    /// A complete FAILED response with a key and a message.
    pub(crate) fn failed(key: &str, message: &str) -> Bytes {
        let mut xml = XmlWriter(String::with_capacity(256));
        xml.0.push_str("<response><returncode>FAILED</returncode>");
        xml.write_text("messageKey", key);
        xml.write_text("message", message);
        xml.finish()
    }

    /// A complete FAILED response in BBB's other form, without a messageKey.
    pub(crate) fn failed_validation(message: &str) -> Bytes {
        let mut out = String::with_capacity(256);
        out.push_str("<response><returncode>FAILED</returncode><errors>");
        out.push_str("<error key=\"validationError\" message=\"");
        escape_into(&mut out, message);
        out.push_str("\"/></errors></response>");
        Bytes::from(out)
    }

    /// `<name>text</name>`, escaped.
    pub(crate) fn write_text(&mut self, name: &str, text: &str) {
        self.open(name);
        escape_into(&mut self.0, text);
        self.close(name);
    }

    /// `<name>text</name>` with a name that a client chose: escaped like text, and otherwise not checked, as in
    /// BBB's templates. The response may not be XML.
    pub(crate) fn write_entry(&mut self, name: &str, text: &str) {
        self.write_text(&escape(name), text);
    }

    /// `<name>value</name>`, not escaped: for numbers and booleans.
    pub(crate) fn write_value(&mut self, name: &str, value: impl std::fmt::Display) {
        self.open(name);
        // Writing to a String cannot fail.
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
    pub(crate) fn write_empty(&mut self, name: &str) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push_str("/>");
    }

    /// Closes the `<response>`.
    pub(crate) fn finish(mut self) -> Bytes {
        self.close("response");
        Bytes::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_passes_on_forbidden_characters() {
        assert_eq!(
            escape("a&b<c>\"d'\u{0}\u{b}\u{ffff}\t\n\re é 😀"),
            "a&amp;b&lt;c&gt;&quot;d&#39;\u{0}\u{b}\u{ffff}\t\n&#13;e é 😀"
        );
    }

    #[test]
    fn names_of_entries_are_escaped_and_not_checked() {
        let mut xml = XmlWriter::success();
        xml.write_entry("2 <fa>", "on");
        assert!(xml.0.ends_with("<2 &lt;fa&gt;>on</2 &lt;fa&gt;>"), "{}", xml.0);
    }

    #[test]
    fn responses_are_complete() {
        assert_eq!(
            XmlWriter::failed("k", "m<"),
            "<response><returncode>FAILED</returncode><messageKey>k</messageKey>\
             <message>m&lt;</message></response>"
        );
        let mut xml = XmlWriter::success();
        xml.write_value("n", 7);
        xml.write_empty("meetings");
        assert_eq!(xml.finish(), "<response><returncode>SUCCESS</returncode><n>7</n><meetings/></response>");
    }
}
