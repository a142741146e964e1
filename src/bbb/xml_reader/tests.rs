use super::*;
use crate::bbb::xml_writer::escape;
use proptest::prelude::*;

#[test]
fn an_envelope_has_the_range_of_its_meetings() {
    let body = "\u{feff}<?xml version=\"1.0\"?>\n<response>\n <returncode>SUCCESS</returncode><messageKey/>\
        <meetings><meeting><meetingName>A &amp; &#66;</meetingName></meeting></meetings></response>\n";
    let envelope = read_envelope(body.as_bytes()).unwrap();
    assert!(envelope.success);
    assert_eq!(envelope.message_key, "");
    assert_eq!(
        &body.as_bytes()[envelope.meetings.unwrap()],
        b"<meeting><meetingName>A &amp; &#66;</meetingName></meeting>"
    );
}

#[test]
fn blank_meetings_have_no_range() {
    for meetings in ["<meetings/>", "<meetings></meetings>", "<meetings> \n</meetings>", ""] {
        let body = format!("<response><returncode>SUCCESS</returncode>{meetings}</response>");
        assert_eq!(read_envelope(body.as_bytes()).unwrap().meetings, None, "{meetings}");
    }
}

#[test]
fn meetings_are_read_with_their_fields() {
    let body = "<response><returncode>SUCCESS</returncode><meetings>\
        <meeting><meetingID>a&amp;b</meetingID><createTime>17</createTime><participantCount>3</participantCount>\
        <internalMeetingID>\n ab-17 </internalMeetingID><moderatorCount>1</moderatorCount><videoCount>2</videoCount><isBreakout>false</isBreakout>\
        <attendees><attendee><meetingID>not this</meetingID></attendee></attendees>\
        <voiceBridge>71234</voiceBridge><moderatorPW>m&lt;p</moderatorPW>\
        <metadata><tenant-id>t1</tenant-id><sl-mark>5e</sl-mark></metadata></meeting>\
        <meeting><meetingID><![CDATA[<c>]]></meetingID><isBreakout>true</isBreakout>\
        <hasBeenForciblyEnded>true</hasBeenForciblyEnded></meeting>\
        </meetings></response>";
    let found = read_meetings(body.as_bytes()).unwrap().meetings;
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0],
        MeetingStats {
            id: "a&b".into(),
            internal_id: "ab-17".into(),
            create_time: 17,
            participants: 3,
            moderators: 1,
            videos: 2,
            breakout: false,
            ended: false,
            voice_bridge: "71234".into(),
            moderator_pw: "m<p".into(),
            tenant: "t1".into(),
            mark: "5e".into(),
        }
    );
    assert_eq!((found[1].id.as_str(), found[1].breakout, found[1].ended), ("<c>", true, true));
}

#[test]
fn a_meeting_of_get_meeting_info_has_the_same_fields() {
    let body = "<response><returncode>SUCCESS</returncode><meetingID>m</meetingID><createTime>17</createTime>\
        <participantCount>3</participantCount><attendees><attendee><role>VIEWER</role></attendee></attendees>\
        <metadata><sl-mark>5e</sl-mark></metadata><isBreakout>false</isBreakout></response>";
    let found = read_meeting(body.as_bytes()).unwrap();
    assert_eq!((found.id.as_str(), found.create_time, found.participants), ("m", 17, 3));
    assert_eq!(found.mark, "5e");
    let failed = "<response><returncode>FAILED</returncode><messageKey>notFound</messageKey></response>";
    assert_eq!(read_meeting(failed.as_bytes()), None);
}

#[test]
fn fields_are_the_children_without_children() {
    let body = "<response><returncode>SUCCESS</returncode><a>1</a><list><x>2</x></list><empty/></response>";
    let names: Vec<_> = read_fields(body.as_bytes()).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(names, ["returncode=SUCCESS", "a=1", "empty="]);
}

#[test]
fn malformed_and_hostile_documents_are_rejected() {
    let deep = format!("<response>{}<returncode>SUCCESS</returncode>", "<a>".repeat(100_000));
    for body in [
        "",
        "hello",
        "{}",
        "<html><body>502</body></html>",
        "<response></response>",
        "<response><returncode>SUCCESS</returncode>",
        "<response><returncode>SUCCESS</returncode></response><response/>",
        "<response><returncode>SUCCESS</wrong></response>",
        "<!DOCTYPE r [<!ENTITY a \"b\">]><response><returncode>SUCCESS</returncode></response>",
        "<response><returncode>SUCCESS</returncode><x>&undefined;</x></response>",
        "<response><returncode>SUCCESS</returncode><x>&#1;</x></response>",
        "<response><returncode>SUCCESS</returncode><x>\u{1}</x></response>",
        "<response><returncode>SUCCESS</returncode><x a=1></x></response>",
        "<response><returncode>SUCCESS</returncode><1></1></response>",
        "<response><x><returncode>SUCCESS</returncode></x></response>",
        deep.as_str(),
    ] {
        assert!(read_envelope(body.as_bytes()).is_err(), "{}", &body[..body.len().min(80)]);
    }
    assert!(read_envelope(b"<response><returncode>SUCC\xff</returncode></response>").is_err());
}

proptest! {
    #[test]
    fn escaped_text_reads_back(text in "\\PC*") {
        let body = format!("<response><returncode>SUCCESS</returncode><v>{}</v></response>", escape(&text));
        let expected: String = text.trim().chars().map(|c| if is_forbidden(c) { '\u{fffd}' } else { c }).collect();
        prop_assert_eq!(read_field(body.as_bytes(), "v").unwrap(), expected);
    }

    #[test]
    fn reading_never_panics(body in "[<>/&;#a-z!\\[\\]\"'= ?-]{0,80}") {
        let _ = read_envelope(body.as_bytes());
        let _ = read_meetings(body.as_bytes());
    }
}

#[test]
fn a_meeting_that_is_gone_is_recognised_in_every_version() {
    let failed = |key: &str, message: &str| {
        let xml = format!(
            "<response><returncode>FAILED</returncode><messageKey>{key}</messageKey><message>{message}</message></response>"
        );
        read_envelope(xml.as_bytes()).unwrap().is_not_found()
    };
    assert!(failed("notFound", "We could not find a meeting with that meeting ID"));
    assert!(failed("validationError", "Invalid meeting ID: A meeting with that ID does not exist"));
    assert!(!failed("validationError", "Meeting ID must be between 2 and 256 characters"));
    assert!(!failed("invalidPassword", "A meeting with that ID does not exist"));
}
