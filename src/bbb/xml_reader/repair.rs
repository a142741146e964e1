//! Makes well-formed XML of a response that is not, and changes nothing else.
//!
//! BBB escapes text, names included, but does not check names or characters. So `userdata-/meeting=on` arrives as
//! `</meeting>on<//meeting>`. What tells such an element from a real end of a meeting is that its end repeats its
//! beginning: any `<K>V</K>` without `<` in V is an element, whatever K is. All other tags are BBB's own, and are
//! matched with a stack.

use super::repair_text::{Forbidden, Output, valid_name};
use super::strict::{check_attributes, is_forbidden, is_space};
use super::{MAX_DEPTH, XmlError, malformed_because};
use crate::bbb::xml_name::is_element_name;
use memchr::memmem;
use std::borrow::Cow;

const ROOT: &str = "<response>";
const ROOT_END: &str = "</response>";

/// A repaired response.
#[derive(Debug)]
pub(super) struct Repaired {
    pub(super) text: String,
    /// Meetings of the list that were left out, because nothing tells which meetings they are.
    pub(super) unreadable: usize,
}

/// Repairs a response.
///
/// # Errors
/// It is no response, it is cut off, or it is hostile.
pub(super) fn repair(text: &str, forbidden: Forbidden) -> Result<Repaired, XmlError> {
    let bytes = text.as_bytes();
    let begin = memmem::find(bytes, ROOT.as_bytes()).ok_or_else(|| malformed_because("no <response>"))?;
    if text[..begin].to_ascii_lowercase().contains("<!doctype") {
        return Err(XmlError::Hostile("DOCTYPE"));
    }
    let from = begin + ROOT.len();
    let end = memmem::rfind(bytes, ROOT_END.as_bytes()).filter(|end| *end >= from);
    let end = end.ok_or_else(|| match has_returncode(text) {
        true => XmlError::CutOff,
        false => malformed_because("unexpected end"),
    })?;
    let inner = &text[from..end];
    let mut repairer = Repairer {
        input: inner,
        at: 0,
        out: Output { text: String::with_capacity(inner.len() + inner.len() / 16 + 64), forbidden },
        open: Vec::with_capacity(8),
        meeting: None,
        unreadable: 0,
        list_end: memmem::rfind(inner.as_bytes(), b"</meetings>"),
        next_cdata_end: None,
        has_no_comment_end: false,
    };
    repairer.out.text.push_str(ROOT);
    repairer.run()?;
    if repairer.is_in_list() {
        return Err(XmlError::CutOff);
    }
    repairer.close_down_to(0);
    repairer.out.text.push_str(ROOT_END);
    Ok(Repaired { text: repairer.out.text, unreadable: repairer.unreadable })
}

/// Whether a response, complete or not, begins with a returncode.
pub(super) fn has_returncode(text: &str) -> bool {
    let inner = text.split_once(ROOT).map(|(_, inner)| inner.trim_start_matches(is_space));
    inner
        .and_then(|inner| inner.strip_prefix("<returncode>"))
        .and_then(|rest| rest.split_once('<'))
        .is_some_and(|(_, rest)| rest.starts_with("/returncode>"))
}

/// An element whose end has not been read.
struct OpenElement<'a> {
    /// Its name as it was read: its end repeats it.
    read: &'a str,
    written: Cow<'a, str>,
}

/// A meeting of a list that is being read.
struct OpenMeeting {
    /// Where it begins in the output.
    begin: usize,
    has_id: bool,
}

struct Repairer<'a> {
    input: &'a str,
    at: usize,
    out: Output,
    /// Inside of the root.
    open: Vec<OpenElement<'a>>,
    meeting: Option<OpenMeeting>,
    unreadable: usize,
    /// Where the list ends.
    list_end: Option<usize>,
    /// The position of the next `]]>`, if it has been searched; usize::MAX: there is none.
    next_cdata_end: Option<usize>,
    /// The rest of the input has no end of a comment.
    has_no_comment_end: bool,
}

impl<'a> Repairer<'a> {
    fn run(&mut self) -> Result<(), XmlError> {
        while self.at < self.input.len() {
            let rest = &self.input[self.at..];
            let text = &rest[..memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len())];
            if text.is_empty() {
                self.read_markup(rest)?;
                continue;
            }
            self.at += text.len();
            // Between meetings there is nothing but white space.
            if !self.is_directly_in_list() || text.chars().all(is_space) {
                self.out.write_text(text);
            }
        }
        Ok(())
    }

    /// Reads what begins with `<`.
    fn read_markup(&mut self, rest: &'a str) -> Result<(), XmlError> {
        let end = memchr::memchr2(b'<', b'>', &rest.as_bytes()[1..]).map(|end| end + 1);
        let Some(length) = end.filter(|end| rest.as_bytes()[*end] == b'>') else {
            return match rest {
                rest if rest.starts_with("<!--") => self.skip_comment(rest),
                rest if rest.starts_with("<![CDATA[") => self.copy_cdata(rest),
                _ => self.skip_bracket(),
            };
        };
        let tag = &rest[1..length];
        if let Some((content, after)) = self.read_leaf(tag, &rest[length + 1..]) {
            self.check_depth()?;
            self.write_leaf(tag, content);
            self.at = self.input.len() - after.len();
            return Ok(());
        }
        if tag.starts_with("!--") {
            return self.skip_comment(rest);
        }
        if tag.starts_with("![CDATA[") {
            return self.copy_cdata(rest);
        }
        if tag.starts_with('!') || tag.starts_with(is_space) || tag.is_empty() {
            return self.skip_bracket();
        }
        let tag_begin = self.at;
        self.at += length + 1;
        match tag.strip_prefix('/') {
            Some(name) => self.read_end(name.trim_end_matches(is_space), tag_begin),
            // A processing instruction is dropped.
            None if tag.starts_with('?') => {}
            None => self.read_start(tag)?,
        }
        Ok(())
    }

    /// This `<` is text.
    fn skip_bracket(&mut self) -> Result<(), XmlError> {
        self.out.text.push_str("&lt;");
        self.at += 1;
        Ok(())
    }

    /// The content of an element without child elements, if `<tag>` is the beginning of one, and what follows it.
    fn read_leaf(&mut self, tag: &str, after: &'a str) -> Option<(Content<'a>, &'a str)> {
        if let Some(data) = after.strip_prefix("<![CDATA[") {
            return self.read_cdata_leaf(tag, data);
        }
        let text = &after[..memchr::memchr(b'<', after.as_bytes())?];
        let rest = strip_end_tag(&after[text.len()..], tag)?;
        (!begins_with_end_of_name(rest, tag)).then_some((Content::Text(text), rest))
    }

    /// The same for `<tag><![CDATA[data]]></tag>`, which some versions of BBB write.
    fn read_cdata_leaf(&mut self, tag: &str, data: &'a str) -> Option<(Content<'a>, &'a str)> {
        let end = self.find_cdata_end(data)?;
        let rest = strip_end_tag(&data[end + "]]>".len()..], tag)?;
        Some((Content::CData(&data[..end]), rest))
    }

    /// The first `]]>` in the rest of the input. The last search is remembered: an input of many beginnings must
    /// not be searched to its end for each of them.
    fn find_cdata_end(&mut self, rest: &str) -> Option<usize> {
        let at = self.input.len() - rest.len();
        if self.next_cdata_end.is_none_or(|end| end < at) {
            let found = memmem::find(rest.as_bytes(), b"]]>");
            self.next_cdata_end = Some(found.map_or(usize::MAX, |end| at + end));
        }
        self.next_cdata_end.filter(|end| *end != usize::MAX).map(|end| end - at)
    }

    fn skip_comment(&mut self, rest: &str) -> Result<(), XmlError> {
        let inner = &rest["<!--".len()..];
        let end = if self.has_no_comment_end { None } else { memmem::find(inner.as_bytes(), b"-->") };
        self.has_no_comment_end = end.is_none();
        match end {
            Some(end) => self.at += "<!--".len() + end + "-->".len(),
            None => self.skip_bracket()?,
        }
        Ok(())
    }

    fn copy_cdata(&mut self, rest: &'a str) -> Result<(), XmlError> {
        let data = &rest["<![CDATA[".len()..];
        match self.find_cdata_end(data) {
            Some(end) => {
                self.at += "<![CDATA[".len() + end + "]]>".len();
                self.out.write_cdata(&data[..end]);
            }
            None => self.skip_bracket()?,
        }
        Ok(())
    }

    fn read_start(&mut self, tag: &'a str) -> Result<(), XmlError> {
        self.check_depth()?;
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, attributes) = tag.split_at(tag.find(is_space).unwrap_or(tag.len()));
        let begins_meeting = name == "meeting" && self.begins_meeting();
        if begins_meeting {
            self.close_down_to(1);
            self.meeting = Some(OpenMeeting { begin: self.out.text.len(), has_id: false });
        }
        let written = valid_name(name);
        self.out.text.push('<');
        self.out.text.push_str(&written);
        if check_attributes(attributes).is_ok() && !attributes.chars().any(is_forbidden) {
            self.out.text.push_str(attributes);
        }
        if !is_empty {
            self.out.text.push('>');
            self.open.push(OpenElement { read: name, written });
            return Ok(());
        }
        self.out.text.push_str("/>");
        if begins_meeting {
            self.finish_meeting();
        }
        Ok(())
    }

    /// An end tag without a beginning is dropped. One that skips open elements closes them.
    fn read_end(&mut self, name: &str, tag_begin: usize) {
        let Some(depth) = self.open.iter().rposition(|element| element.read == name) else { return };
        let is_plausible = match (name, depth) {
            ("meetings", 0) => self.list_end == Some(tag_begin),
            // After a meeting comes another one, or the end of the list.
            ("meeting", 1) if self.is_in_list() => {
                let next = self.input[self.at..].trim_start_matches(is_space);
                next.starts_with("<meeting>")
                    || next.starts_with("<meeting/>")
                    || next.starts_with("</meetings>")
            }
            _ => true,
        };
        if is_plausible {
            self.close_down_to(depth);
        }
    }

    /// Closes elements until `depth` are open.
    fn close_down_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(element) = self.open.pop() else { return };
            self.out.text.push_str("</");
            self.out.text.push_str(&element.written);
            self.out.text.push('>');
            if self.open.len() == 1 {
                self.finish_meeting();
            }
        }
    }

    /// Leaves the meeting that has just been closed out if it has no id.
    fn finish_meeting(&mut self) {
        if let Some(meeting) = self.meeting.take()
            && !meeting.has_id
        {
            self.out.text.truncate(meeting.begin);
            self.unreadable += 1;
        }
    }

    fn is_in_list(&self) -> bool {
        self.open.first().is_some_and(|element| element.read == "meetings")
    }

    fn is_directly_in_list(&self) -> bool {
        self.open.len() == 1 && self.is_in_list()
    }

    /// Whether `<meeting>`, just read, begins a meeting of the list, even if the one before did not end.
    fn begins_meeting(&self) -> bool {
        self.is_in_list()
            && (self.open.len() == 1
                || self.input[self.at..].trim_start_matches(is_space).starts_with("<meetingName>"))
    }

    fn check_depth(&self) -> Result<(), XmlError> {
        // The root and the element itself.
        if self.open.len() + 2 > MAX_DEPTH { Err(XmlError::Hostile("nested too deep")) } else { Ok(()) }
    }

    fn write_leaf(&mut self, tag: &'a str, content: Content<'a>) {
        if let Some(meeting) = &mut self.meeting
            && self.open.len() == 2
            && tag == "meetingID"
        {
            meeting.has_id = true;
        }
        // `<name >` is XML, other white space is part of a name.
        let name = match tag.trim_end_matches(is_space) {
            name if is_element_name(name) => Cow::Borrowed(tag),
            _ => valid_name(tag),
        };
        self.out.text.push('<');
        self.out.text.push_str(&name);
        self.out.text.push('>');
        match content {
            Content::Text(text) => self.out.write_text(text),
            Content::CData(data) => self.out.write_cdata(data),
        }
        self.out.text.push_str("</");
        self.out.text.push_str(&name);
        self.out.text.push('>');
    }
}

/// What an element without child elements contains.
enum Content<'a> {
    /// Escaped.
    Text(&'a str),
    /// Not escaped.
    CData(&'a str),
}

/// Whether `</tag>` before this text is no end tag but the name of an element, as in
/// `<customdata></customdata>on<//customdata></customdata>`: whether `<//tag>` follows, and does not itself begin
/// an element.
fn begins_with_end_of_name(text: &str, tag: &str) -> bool {
    let from_bracket = |text: &'_ str| memchr::memchr(b'<', text.as_bytes()).unwrap_or(text.len());
    let next = &text[from_bracket(text)..];
    let after = next.strip_prefix("<//").and_then(|name| name.strip_prefix(tag)?.strip_prefix('>'));
    after.is_some_and(|after| {
        let end = after[from_bracket(after)..].strip_prefix("<///");
        !end.is_some_and(|end| end.strip_prefix(tag).is_some_and(|end| end.starts_with('>')))
    })
}

/// What follows `</tag>`, if the text begins with it.
fn strip_end_tag<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    text.strip_prefix("</")?.strip_prefix(tag)?.strip_prefix('>')
}
