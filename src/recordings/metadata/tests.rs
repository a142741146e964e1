use super::*;
use proptest::prelude::*;

const ID: &str = "a924781796a25ae5afd3c6c97a3563ec1d9f365f-1767225600000";

fn presentation() -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<recording>
  <id>{ID}</id>
  <state>published</state><published>true</published>
  <start_time>1767225600000</start_time><end_time>1767229245120</end_time><participants>4</participants>
  <meeting id="{ID}" externalId="algebra-101" name="Algebra &amp; Co" breakout="false"/>
  <meta><meetingId>algebra-101</meetingId><meetingName>Algebra &amp; Co</meetingName><isBreakout>false</isBreakout>
    <bbb-origin>moodle</bbb-origin><bbb-context><![CDATA[<b>Numbers & more</b>]]></bbb-context>
    <bbb-recording-tags/></meta>
  <playback>
    <format>presentation</format>
    <link>https://bbb1.example.org/playback/presentation/2.3/{ID}</link>
    <processing_time>48211</processing_time><duration>3605120</duration>
    <extensions><preview><images>
      <image width="176" height="136" alt="Week 1 &quot;begin&quot;">https://bbb1.example.org/presentation/{ID}/thumb-1.png</image>
      <image width="176" height="136" alt="">https://bbb1.example.org/presentation/{ID}/thumb-2.png?v=1&amp;w=2</image>
    </images></preview></extensions>
    <size>18340112</size>
  </playback>
  <raw_size>91220450</raw_size>
</recording>"#
    )
}

#[test]
fn parse_presentation() {
    let read = parse(presentation().as_bytes()).unwrap();
    assert_eq!(
        read,
        FormatMetadata {
            record_id: RecordId::parse(ID).unwrap(),
            meeting_id: "algebra-101".into(),
            name: Some("Algebra & Co".into()),
            state: "published".into(),
            published: true,
            start_ms: Some(1_767_225_600_000),
            end_ms: Some(1_767_229_245_120),
            participants: Some(4),
            metadata: vec![
                ("bbb-origin".into(), "moodle".into()),
                ("bbb-context".into(), "<b>Numbers & more</b>".into()),
                ("bbb-recording-tags".into(), String::new()),
            ],
            is_breakout: false,
            breakout_parent: None,
            breakout_rooms: vec![],
            raw_size: Some(91_220_450),
            format: FormatName::parse("presentation").unwrap(),
            url: format!("/playback/presentation/2.3/{ID}"),
            processing_time: Some(48_211),
            length: Some(60),
            size: Some(18_340_112),
            thumbnails: vec![
                Thumbnail {
                    width: Some(176),
                    height: Some(136),
                    alt: Some("Week 1 \"begin\"".into()),
                    url: format!("/presentation/{ID}/thumb-1.png"),
                },
                Thumbnail {
                    width: Some(176),
                    height: Some(136),
                    alt: Some(String::new()),
                    url: format!("/presentation/{ID}/thumb-2.png?v=1&w=2"),
                },
            ],
        }
    );
}

#[test]
fn parse_video_without_meeting_and_with_meta_last() {
    let read = parse(
        format!(
            "<recording><id>{ID}</id><state>available</state><start_time>1</start_time><end_time>2</end_time>\
             <playback><format>video</format><link>http://b/playback/video/{ID}/</link><duration>89999</duration></playback>\
             <meta><meetingName>M</meetingName><meetingId>m</meetingId><a>1</a><a>2</a>\
             <sl-mark>5e</sl-mark></meta></recording>"
        )
        .as_bytes(),
    )
    .unwrap();
    assert!(read.published, "available means published");
    assert_eq!(read.state, "available");
    assert_eq!((read.meeting_id.as_str(), read.name.as_deref()), ("m", Some("M")));
    assert_eq!(read.url, format!("/playback/video/{ID}/"));
    assert_eq!(read.length, Some(1), "89.999 seconds are a minute, rounded");
    assert_eq!(read.metadata, [("a".into(), "2".into())], "without the mark of the balancer");
    assert_eq!((read.participants, read.size, read.raw_size), (None, None, None));
}

#[test]
fn missing_elements_are_none() {
    let read = parse(
        format!(
            "<recording><playback><link>/playback/x</link><format>screenshare</format><duration/></playback>\
             <meeting externalId='m' name='N' breakout='true'/><participants></participants>\
             <start_time>Thu Mar 04 14:05:56 UTC 2010</start_time><raw_size>-1</raw_size>\
             <published>false</published><id> {ID} </id></recording>"
        )
        .as_bytes(),
    )
    .unwrap();
    assert_eq!((read.meeting_id.as_str(), read.name.as_deref()), ("m", Some("N")));
    assert!(read.is_breakout);
    assert_eq!((read.state.as_str(), read.published), ("unpublished", false));
    assert_eq!((read.start_ms, read.length, read.raw_size), (None, None, None));
}

#[test]
fn parse_breakout_rooms_and_parent() {
    let body = |inner: &str| {
        format!(
            "<recording><id>{ID}</id>{inner}<meta><meetingId>m</meetingId><isBreakout>true</isBreakout></meta>\
             <playback><format>video</format><link>/v</link></playback></recording>"
        )
    };
    let room =
        parse(body("<breakout parentMeetingId='p-1' sequence='3' freeJoin='false'/>").as_bytes()).unwrap();
    assert_eq!(room.breakout_parent, Some(("p-1".into(), 3)));
    assert!(room.is_breakout);
    let room = parse(body("<breakout><parentId>p-2</parentId><sequence>1</sequence></breakout>").as_bytes())
        .unwrap();
    assert_eq!(room.breakout_parent, Some(("p-2".into(), 1)));
    let parent = parse(
        body("<breakout/><breakoutRooms><breakoutRoom>r-1</breakoutRoom><breakoutRoom>r-2</breakoutRoom><x/></breakoutRooms>")
            .as_bytes(),
    )
    .unwrap();
    assert_eq!((parent.breakout_parent, parent.breakout_rooms), (None, vec!["r-1".into(), "r-2".into()]));
}

#[test]
fn first_of_several_playbacks_counts() {
    let read = parse(
        presentation()
            .replace("<raw_size>", "<playback><format>video</format><link>/v</link></playback><raw_size>")
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(read.format.as_str(), "presentation");
}

#[test]
fn links_become_paths_on_our_host() {
    for (link, path) in [
        ("https://b/playback/video/x/", "/playback/video/x/"),
        ("http://b:8080/p?meetingId=1&x=2#top", "/p?meetingId=1&x=2"),
        ("/p/q", "/p/q"),
        ("p/q", "/p/q"),
        ("https://b//evil.example/x", "/evil.example/x"),
        ("//evil.example/x", "/x"),
        ("https://b", "/"),
        ("https://b/../../etc/passwd", "/etc/passwd"),
        ("https://b/ä b\"<>", "/%C3%A4%20b%22%3C%3E"),
    ] {
        assert_eq!(path_of(link).as_deref(), Some(path), "{link}");
    }
    for link in ["javascript:alert(1)", "data:text/html,x", "ftp://b/x", "http://[", "mailto:a@b"] {
        assert_eq!(path_of(link), None, "{link}");
    }
}

#[test]
fn invalid_metadata_is_rejected_with_a_reason() {
    let good = presentation();
    for (bad, reason) in [
        (String::new(), "not well-formed"),
        ("<html><body/></html>".into(), "no <recording>"),
        (good.replace("<recording>", "<!DOCTYPE r [<!ENTITY a \"b\">]><recording>"), "DOCTYPE"),
        (good.replace("algebra-101", "&a;"), "entity"),
        (good.replace("</recording>", ""), "unexpected end"),
        (good.replace("algebra-101", "\u{1}"), "control character"),
        (good.replace(&format!("<id>{ID}</id>"), ""), "no <id>"),
        (good.replace(&format!("<id>{ID}"), "<id>../../etc"), "<id> is invalid: ../../etc"),
        (good.replace(&format!("<id>{ID}"), "<id>a/b"), "<id> is invalid: a/b"),
        (good.replace("<format>presentation", "<format>pre/sent"), "<playback/format> is invalid"),
        (good.replace("<format>presentation", "<format>"), "no <playback/format>"),
        (good.replace("<link>https", "<link>javascript"), "<playback/link> is invalid"),
        (good.replace("algebra-101", ""), "no <meta/meetingId>"),
        (good.replace("algebra-101", &"x".repeat(1025)), "<meta/meetingId> is invalid"),
        (good.replace("bbb-origin", &"x".repeat(513)), "<meta> is invalid"),
        (good.replace("<meta>", &format!("<meta>{}", "<a>".repeat(100))), "nested too deep"),
        (
            good.replace(
                "<meta>",
                &format!("<meta>{}", (0..1001).map(|n| format!("<k{n}/>")).collect::<String>()),
            ),
            "more than 1000",
        ),
        (good.replace("</recording>", &format!("{}</recording>", " ".repeat(4 << 20))), "larger than"),
    ] {
        let error = parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error} has no {reason}");
        assert!(!error.contains('\n') && error.len() < 300, "{error}");
    }
    assert!(parse(b"<recording>\xff</recording>").is_err());
}

proptest! {
    #[test]
    fn parse_never_panics(body in "[<>/&;#a-z!\\[\\]\"'= ?-]{0,80}") {
        let _ = parse(body.as_bytes());
    }

    #[test]
    fn parse_of_a_corrupted_file_never_panics(at in 0..1500usize, with in "[<>/&;#a-z0-9-]{0,12}", cut in 0..40usize) {
        let mut text = presentation();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &with);
        if let Ok(read) = parse(text.as_bytes()) {
            prop_assert!(RecordId::parse(read.record_id.as_str()).is_some());
            prop_assert!(read.url.starts_with('/') && !read.url.starts_with("//"));
        }
    }

    #[test]
    fn path_of_stays_on_our_host(link in "\\PC{0,40}") {
        if let Some(path) = path_of(&link) {
            prop_assert!(path.starts_with('/') && !path.starts_with("//"), "{}", path);
            prop_assert!(path.is_ascii() && !path.contains(|c: char| c.is_ascii_control() || c == ' '));
        }
    }
}

#[test]
fn numbers_may_have_decimals() {
    let read = |from: &str, to: &str| parse(presentation().replace(from, to).as_bytes()).unwrap();
    let started = "<start_time>1767225600000</start_time>";
    assert_eq!(read(started, "<start_time>1767225600000.0</start_time>").start_ms, Some(1_767_225_600_000));
    assert_eq!(
        read(started, "<start_time> 1767225600000.75 </start_time>").start_ms,
        Some(1_767_225_600_000)
    );
    assert_eq!(read(">3605120<", ">3629999.99<").length, Some(60));
    assert_eq!(read(">3605120<", ">3630000.5<").length, Some(61));
    assert_eq!(read("width=\"176\"", "width=\"176.5\"").thumbnails[0].width, Some(176));
    for none in ["", ".", "1.", ".5", "-1", "1e9", "1.2.3", "NaN", "+1", "1,5", "99999999999999999999.0"] {
        assert_eq!(read(">3605120<", &format!(">{none}<")).length, None, "{none}");
    }
}

#[test]
fn document_is_read_in_the_encoding_that_it_declares() {
    let text = |encoding: &str| {
        presentation()
            .replace("UTF-8", encoding)
            .replace("<meetingName>Algebra &amp; Co", "<meetingName>Grüße, Élève")
    };
    let name = |bytes: &[u8]| parse(bytes).map(|read| read.name.unwrap());
    let latin = |text: String| text.chars().map(|c| u8::try_from(c as u32).unwrap()).collect::<Vec<u8>>();
    for encoding in ["ISO-8859-1", "iso-8859-15", "windows-1252", "latin1"] {
        assert_eq!(name(&latin(text(encoding))).unwrap(), "Grüße, Élève", "{encoding}");
    }
    let mut windows = latin(text("windows-1252"));
    let at = windows.iter().position(|b| *b == 0xc9).unwrap();
    windows[at] = 0x80;
    assert_eq!(name(&windows).unwrap(), "Grüße, €lève");
    let utf16 =
        |text: String, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let marked = utf16(format!("\u{feff}{}", text("UTF-16")), bytes);
        assert_eq!(name(&marked).unwrap(), "Grüße, Élève");
        assert_eq!(name(&utf16(text("UTF-16"), bytes)).unwrap(), "Grüße, Élève", "without a mark");
    }
    for utf8 in [
        text("UTF-8"),
        text("utf-16"),
        format!("\u{feff}{}", text("UTF-8")),
        text("'").replace(" encoding=\"'\"", ""),
    ] {
        assert_eq!(name(utf8.as_bytes()).unwrap(), "Grüße, Élève", "{utf8}");
    }
    assert!(name(text("klingon").as_bytes()).unwrap_err().to_string().contains("unknown encoding"));
    assert!(name(&latin(text("UTF-8"))).unwrap_err().to_string().contains("not UTF-8"));
    // What the reader forbids stays forbidden in any encoding.
    let hostile = text("UTF-16").replace("<recording>", "<!DOCTYPE x><recording>");
    assert!(name(&utf16(format!("\u{feff}{hostile}"), u16::to_le_bytes)).is_err());
}
