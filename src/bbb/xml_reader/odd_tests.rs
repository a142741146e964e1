//! Responses with data of strangers, as BBB writes them. The judge is roxmltree, which shares no code with the
//! reader.

use super::*;
use bytes::Bytes;

/// What BBB's templates do with everything: they escape five characters.
fn escape_as_bbb(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&apos;"),
            other => out.push(*other),
        }
    }
    out
}

fn write_element(out: &mut Vec<u8>, name: &[u8], text: &[u8]) {
    let name = escape_as_bbb(name);
    for part in [b"<", name.as_slice(), b">", &escape_as_bbb(text), b"</", &name, b">"] {
        out.extend_from_slice(part);
    }
}

pub(super) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A meeting as strangers fill it.
#[derive(Debug, Clone)]
pub(super) struct OddMeeting {
    pub(super) name: Vec<u8>,
    pub(super) id: Vec<u8>,
    /// Full name and customdata of each attendee.
    pub(super) attendees: Vec<(Vec<u8>, Entries)>,
    pub(super) metadata: Entries,
    pub(super) breakouts: Vec<Vec<u8>>,
}

fn write_entries(out: &mut Vec<u8>, around: &[u8], entries: &Entries) {
    out.extend_from_slice(&[b"<", around, b">\n"].concat());
    entries.iter().for_each(|(name, value)| write_element(out, name, value));
    out.extend_from_slice(&[b"</", around, b">\n"].concat());
}

fn get_meetings_response(meetings: &[OddMeeting]) -> Vec<u8> {
    let mut out = b"<response>\n<returncode>SUCCESS</returncode>\n<meetings>".to_vec();
    for meeting in meetings {
        out.extend_from_slice(b"<meeting>");
        write_element(&mut out, b"meetingName", &meeting.name);
        write_element(&mut out, b"meetingID", &meeting.id);
        out.extend_from_slice(b"<participantCount>7</participantCount><attendees>\n");
        for (name, customdata) in &meeting.attendees {
            out.extend_from_slice(b"<attendee>");
            write_element(&mut out, b"fullName", name);
            write_entries(&mut out, b"customdata", customdata);
            out.extend_from_slice(b"</attendee>");
        }
        out.extend_from_slice(b"</attendees>\n");
        write_entries(&mut out, b"metadata", &meeting.metadata);
        out.extend_from_slice(b"<isBreakout>false</isBreakout><breakoutRooms>");
        meeting.breakouts.iter().for_each(|room| write_element(&mut out, b"breakout", room));
        out.extend_from_slice(b"</breakoutRooms></meeting>\n");
    }
    out.extend_from_slice(b"</meetings></response>\n");
    out
}

/// Text without forbidden characters. Parsers turn CR into LF; roxmltree not before a reference.
fn as_parsed(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    unify_lines(&text.chars().filter(|c| !is_forbidden(*c)).collect::<String>())
}

fn unify_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn child<'a, 'i>(node: roxmltree::Node<'a, 'i>, name: &str) -> roxmltree::Node<'a, 'i> {
    node.children().find(|c| c.has_tag_name(name)).unwrap_or_else(|| panic!("no {name}"))
}

fn texts(node: roxmltree::Node<'_, '_>) -> Vec<String> {
    node.children().filter(|c| c.is_element()).map(|c| unify_lines(c.text().unwrap_or_default())).collect()
}

fn values(entries: &Entries) -> Vec<String> {
    entries.iter().map(|(_, value)| as_parsed(value)).collect()
}

/// Passes a response on, parses it strictly, and compares everything in it with what went in.
pub(super) fn assert_complete(meetings: &[OddMeeting]) {
    let body = get_meetings_response(meetings);
    let (passed_on, envelope) = read_response(Bytes::from(body.clone())).unwrap();
    assert!(envelope.success);
    let text = std::str::from_utf8(&passed_on).unwrap();
    let document = roxmltree::Document::parse(text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    let list = child(document.root_element(), "meetings");
    assert_eq!(list.children().filter(roxmltree::Node::is_element).count(), meetings.len(), "{text}");
    for (node, meeting) in list.children().filter(roxmltree::Node::is_element).zip(meetings) {
        let text_of = |name| unify_lines(child(node, name).text().unwrap_or_default());
        assert_eq!(text_of("meetingName"), as_parsed(&meeting.name));
        assert_eq!(text_of("meetingID"), as_parsed(&meeting.id));
        assert_eq!(texts(child(node, "metadata")), values(&meeting.metadata));
        let rooms: Vec<_> = meeting.breakouts.iter().map(|room| as_parsed(room)).collect();
        assert_eq!(texts(child(node, "breakoutRooms")), rooms);
        let attendees: Vec<_> =
            child(node, "attendees").children().filter(roxmltree::Node::is_element).collect();
        assert_eq!(attendees.len(), meeting.attendees.len());
        for (attendee, (name, customdata)) in attendees.into_iter().zip(&meeting.attendees) {
            assert_eq!(unify_lines(child(attendee, "fullName").text().unwrap_or_default()), as_parsed(name));
            assert_eq!(texts(child(attendee, "customdata")), values(customdata));
        }
    }
    let polled = read_meetings(&body).unwrap();
    assert_eq!(polled.unreadable, 0);
    let ids: Vec<_> = polled.meetings.iter().map(|m| m.id.clone()).collect();
    let trimmed = |id: &[u8]| crate::bbb::meeting_id::trim(&String::from_utf8_lossy(id)).to_owned();
    let expected: Vec<_> = meetings.iter().map(|m| trimmed(&m.id)).collect();
    assert_eq!(ids, expected, "the poll knows ids as the server does");
    assert!(polled.meetings.iter().all(|m| m.participants == 7));
}

fn one_meeting(customdata: &[(&str, &str)], metadata: &[(&str, &str)]) -> OddMeeting {
    let entries = |list: &[(&str, &str)]| -> Entries {
        list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    };
    OddMeeting {
        name: b"O".to_vec(),
        id: b"odd".to_vec(),
        attendees: vec![(b"A".to_vec(), entries(customdata)), (b"B".to_vec(), entries(&[("ok", "1")]))],
        metadata: entries(metadata),
        breakouts: Vec::new(),
    }
}

/// Names of `userdata-…` parameters that are no names of elements, or that imitate markup.
pub(super) const ODD_NAMES: [&str; 56] = [
    "2fa",
    "$a",
    "a$",
    "(",
    "a,b",
    "[x]",
    "a@b",
    "/",
    "a/",
    "/a",
    "=",
    "a=b",
    "{",
    "!",
    ";",
    "+",
    "#",
    " ",
    "a b",
    "\"a\"",
    "'",
    "",
    "größe",
    "\u{1f600}",
    "名前",
    "xml",
    "xml:lang",
    "xmlns",
    "xmlns:x",
    "a:b",
    ":",
    "-",
    "--",
    ".",
    "]]",
    "!--",
    "!--x",
    "--!",
    "![CDATA[",
    "!DOCTYPE x",
    "?",
    "?xml version=\"1.0\"?",
    "/customdata",
    "/attendee",
    "/attendees",
    "/meeting",
    "/meetings",
    "/response",
    "meeting",
    "meetings",
    "response",
    "a\u{b}b",
    "\u{fffe}",
    "<",
    "a>b",
    "&#11;",
];

#[test]
fn every_odd_name_costs_nothing_else() {
    for name in ODD_NAMES {
        for value in ["on", "", "a]]>b", "a--b", "<&>\"'", "\u{b}\u{1f}", "&#11;"] {
            let odd = one_meeting(&[("first", "1"), (name, value), ("last", "2")], &[(name, value)]);
            let plain = one_meeting(&[], &[]);
            assert_complete(&[plain.clone(), odd, plain]);
        }
    }
    // All of them together: each beginning of markup meets each end of markup.
    let all: Vec<_> = ODD_NAMES.iter().flat_map(|a| [(*a, "v"), ("--", "]]>")]).collect();
    assert_complete(&[one_meeting(&all, &[]), one_meeting(&all, &all), one_meeting(&[], &all)]);
    let long = "1".repeat(70_000);
    assert_complete(&[one_meeting(&[(&long, &long)], &[])]);
}

#[test]
fn two_participants_cannot_hide_the_meetings_between_them() {
    for (begin, end) in [("!--x", "--"), ("![CDATA[", "]]"), ("?x", "x?")] {
        let meetings =
            [one_meeting(&[(begin, "1")], &[]), one_meeting(&[], &[]), one_meeting(&[(end, "1")], &[])];
        assert_complete(&meetings);
    }
}

/// What a response becomes, for cases that BBB's escaping does not produce.
fn repaired(body: &str) -> String {
    let body = format!("<response><returncode>SUCCESS</returncode>{body}</response>");
    let (passed_on, _) = read_response(Bytes::from(body)).unwrap();
    let text = std::str::from_utf8(&passed_on).unwrap();
    roxmltree::Document::parse(text).unwrap();
    let inner = text.strip_prefix("<response><returncode>SUCCESS</returncode>").unwrap();
    inner.strip_suffix("</response>").unwrap().to_owned()
}

#[test]
fn what_is_malformed_is_repaired_where_it_stands() {
    for (body, expected) in [
        ("<x>\u{b}a&#11;b&#xD800;c&#x1F600;</x>", "<x>abc&#x1F600;</x>"),
        ("<x>a & b &lt; &nbsp; &#; ]]> ></x>", "<x>a &amp; b &lt; &amp;nbsp; &amp;#; ]]&gt; ></x>"),
        ("<x>1 < 2</x><y>1<2</y>", "<x>1 &lt; 2</x><y>1&lt;2</y>"),
        ("<2fa>on</2fa><y a='1' b=\"2\">3</y>", "<_2fa>on</_2fa><y a='1' b=\"2\">3</y>"),
        ("<x a=1 b>2</x>", "<x>2</x>"),
        ("<x a='1' a='2'/><y xmlns='u'/><p:z/>", "<x/><y/><p_z/>"),
        ("<a><b><c>1</c></a><d>2</d></e>", "<a><b><c>1</c></b></a><d>2</d>"),
        ("<!-- x --><?pi ?><a><![CDATA[<b>&]]></a>", "<a>&lt;b&gt;&amp;</a>"),
        ("<!-- x <a>1</a>", "&lt;!-- x <a>1</a>"),
        ("<1><2>3</2></1>", "<_1><_2>3</_2></_1>"),
        ("\u{b}<a\u{b}>1</a\u{b}>", "<a>1</a>"),
    ] {
        assert_eq!(repaired(body), expected, "{body}");
    }
}

#[test]
fn prolog_and_unknown_bytes_are_repaired() {
    let body = b"<?xml version=\"1.0\" encoding=\"latin1\"?><response><returncode>SUCCESS</returncode>\
        <x>\xff</x></response> <!-- end -->";
    let (passed_on, _) = read_response(Bytes::from_static(body)).unwrap();
    assert_eq!(passed_on, "<response><returncode>SUCCESS</returncode><x>\u{fffd}</x></response>");
}

#[test]
fn well_formed_responses_are_passed_on_byte_for_byte() {
    let body = Bytes::from_static(
        b"<?xml version='1.0' encoding='UTF-8'?>\n<response>\r\n<returncode>FAILED</returncode><errors>\
        <error key=\"k\" message=\"a &amp; b\"/></errors><x a = 'b'\n>&#9;</x></response>\n",
    );
    let (passed_on, _) = read_response(body.clone()).unwrap();
    assert_eq!(passed_on.as_ptr(), body.as_ptr());
    assert_eq!(passed_on.len(), body.len());
}

#[test]
fn a_meeting_that_cannot_be_repaired_costs_only_itself() {
    let meeting =
        |id: &str| format!("<meeting><meetingName>n</meetingName><meetingID>{id}</meetingID></meeting>");
    let (a, c) = (meeting("a"), meeting("c"));
    for broken in [
        "<meeting><meetingName>b</meetingName><\u{b}></meeting>",
        "<meeting/>",
        "<meeting><meetingName>b<meeting",
        "<meeting><meetingName>b</meetingName><x><y>",
    ] {
        let body = format!(
            "<response><returncode>SUCCESS</returncode><meetings>{a}{broken}{c}</meetings><2/></response>"
        );
        let list = read_meetings(body.as_bytes()).unwrap();
        let ids: Vec<_> = list.meetings.iter().map(|m| m.id.as_str()).collect();
        assert_eq!((ids, list.unreadable), (vec!["a", "c"], 1), "{broken}");
        let (passed_on, envelope) = read_response(Bytes::from(body)).unwrap();
        let listed = std::str::from_utf8(&passed_on[envelope.meetings.unwrap()]).unwrap().to_owned();
        assert!(listed.starts_with(&a) && listed.contains(&c) && !listed.contains(">b<"), "{listed}");
    }
}

#[test]
fn cut_off_responses_are_recognised_at_every_byte() {
    let odd = one_meeting(&[("2fa", "on"), ("/response", "on")], &[]);
    let body = get_meetings_response(&[odd.clone(), odd]);
    let end = body.windows(11).rposition(|w| w == b"</response>").unwrap() + 11;
    let begin = b"<response>\n<returncode>SUCCESS</returncode>".len();
    for length in 0..end {
        let failure = read_meetings(&body[..length]).unwrap_err();
        let passed_on = read_response(Bytes::copy_from_slice(&body[..length])).unwrap_err();
        let is_cut_off = length >= begin;
        assert_eq!(failure == XmlError::CutOff, is_cut_off, "{length}: {failure}");
        assert_eq!(passed_on == XmlError::CutOff, is_cut_off, "{length}: {passed_on}");
        assert_eq!(has_returncode(&body[..length]), is_cut_off, "{length}");
    }
    read_meetings(&body[..end]).unwrap();
}

#[test]
fn hostile_responses_stay_refused() {
    let deep = format!(
        "<response><returncode>SUCCESS</returncode><2/>{}{}</response>",
        "<a>".repeat(64),
        "</a>".repeat(64)
    );
    for body in [
        "<!DOCTYPE r [<!ENTITY a \"b\">]><response><returncode>SUCCESS</returncode></response>",
        "<!doctype r><response><returncode>SUCCESS</returncode><2/></response>",
        &deep,
    ] {
        let failure = read_response(Bytes::from(body.to_owned())).unwrap_err();
        assert!(matches!(failure, XmlError::Hostile(_)), "{failure}");
        assert_eq!(read_meetings(body.as_bytes()).unwrap_err(), failure);
    }
}

#[test]
fn a_refusal_has_its_key_and_message() {
    for body in [
        "<response><returncode>FAILED</returncode><messageKey>checksumError</messageKey><message>m\n</message></response>",
        "<response><returncode>FAILED</returncode><errors><error><key>checksumError</key><message>m</message></error></errors></response>",
    ] {
        let failure = read_meetings(body.as_bytes()).unwrap_err();
        assert_eq!(failure.to_string(), "FAILED: checksumError (m)");
    }
}

#[test]
fn hostile_sizes_take_linear_time() {
    const PARTS: [&str; 12] = [
        "<",
        "<a>",
        "<a ",
        "<![CDATA[",
        "<a><![CDATA[",
        "<!--",
        "&",
        "</a>",
        "<a b='",
        "<1>x</1>",
        "]]>",
        "<a/><b",
    ];
    for part in PARTS {
        let body =
            format!("<response><returncode>SUCCESS</returncode>{}]]></response>", part.repeat(100_000));
        // In quadratic time, this test would take minutes.
        let _ = read_response(Bytes::from(body.clone()));
        let _ = read_meetings(body.as_bytes());
    }
}
