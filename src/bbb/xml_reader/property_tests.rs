//! Whatever strangers write, and whatever a server sends. `fuzz/` has the same as a target for cargo-fuzz.

use super::odd_tests::{Entries, ODD_NAMES, OddMeeting, assert_complete};
use super::*;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes that mean something in XML, and any others.
fn odd_bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-z0-9_]{1,3}".prop_map(String::into_bytes),
        3 => proptest::sample::select(&ODD_NAMES[..]).prop_map(|name| name.as_bytes().to_vec()),
        2 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => vec(any::<u8>(), 1..3),
        1 => Just(b"\xed\xa0\x80".to_vec()),
        1 => Just(b"\xef\xbf\xbf".to_vec()),
        2 => "[<>&;#\"'/!\\[\\]? \r\n\t=-]{1,4}".prop_map(String::into_bytes),
    ];
    vec(piece, length).prop_map(|pieces| pieces.concat())
}

fn odd_entries() -> impl Strategy<Value = Entries> {
    vec((odd_bytes(0..4), odd_bytes(0..4)), 0..4)
}

fn odd_meetings() -> impl Strategy<Value = Vec<OddMeeting>> {
    let attendees = vec((odd_bytes(0..4), odd_entries()), 0..4);
    let meeting = (odd_bytes(0..4), odd_bytes(0..4), attendees, odd_entries(), vec(odd_bytes(1..3), 0..3))
        .prop_map(|(name, id, attendees, metadata, breakouts)| OddMeeting {
            name,
            id,
            attendees,
            metadata,
            breakouts,
        });
    vec(meeting, 1..5).prop_map(|mut meetings| {
        for (n, meeting) in meetings.iter_mut().enumerate() {
            meeting.id.splice(0..0, format!("m{n}").into_bytes());
        }
        meetings
    })
}

/// Anything that begins as a response, as a fuzzer would send it.
fn any_response() -> impl Strategy<Value = Vec<u8>> {
    let markup = prop_oneof![
        4 => odd_bytes(0..3).prop_map(|name| [b"<", name.as_slice(), b">"].concat()),
        4 => odd_bytes(0..3).prop_map(|name| [b"</", name.as_slice(), b">"].concat()),
        3 => "<(/)?(response|meetings?|meetingID|a|b|c) ?(/)?>".prop_map(String::into_bytes),
        2 => "<a( |\t)[ab:]{1,2} ?= ?['\"][a&;lt<#9]{0,5}['\"]( c='')?/?>".prop_map(String::into_bytes),
        1 => "(<!--.{0,3}-->|<!\\[CDATA\\[.{0,3}\\]\\]>|<\\?[a-z ]{0,4}\\?>|&#?x?[0-9a-z+]{0,5};)".prop_map(String::into_bytes),
        3 => odd_bytes(0..3),
    ];
    (vec(markup, 0..24), any::<bool>()).prop_map(|(parts, ends)| {
        let end: &[u8] = if ends { b"</response>" } else { b"" };
        [b"<response><returncode>SUCCESS</returncode>", parts.concat().as_slice(), end].concat()
    })
}

proptest! {
    #[test]
    fn all_meetings_come_through_whatever_strangers_write(meetings in odd_meetings()) {
        assert_complete(&meetings);
    }

    #[test]
    fn what_is_passed_on_is_strict_xml(body in any_response()) {
        let _ = read_meetings(&body);
        if let Ok((passed_on, envelope)) = read_response(Bytes::from(body)) {
            let text = std::str::from_utf8(&passed_on).unwrap();
            if let Err(error) = roxmltree::Document::parse(text) {
                panic!("{error}: {text:?}");
            }
            if let Some(range) = envelope.meetings {
                let list = format!("<m>{}</m>", &text[range]);
                prop_assert!(roxmltree::Document::parse(&list).is_ok(), "{}", list);
            }
        }
    }
}
