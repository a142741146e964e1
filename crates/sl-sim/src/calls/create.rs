//! create.

use rand::Rng;

use super::{Answer, Ask, documents, meeting_id, random_word};
use crate::meeting::Meeting;
use crate::protocol::xml::Xml;
use crate::server::Server;

pub(super) fn create(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let p = &ask.params;
    let (attendee, moderator) = (p.filled("attendeePW"), p.filled("moderatorPW"));
    let asked_bridge = p.filled("voiceBridge");
    let now = server.now_ms();
    let mut xml = Xml::success();
    let mut book = server.book();
    if let Some(meeting) = book.get(id, now) {
        if attendee.is_some_and(|pw| pw != meeting.attendee_pw)
            || moderator.is_some_and(|pw| pw != meeting.moderator_pw)
        {
            return Answer::failed(
                "idNotUnique",
                "A meeting already exists with that meeting ID.  Please use a different meeting ID.",
            );
        }
        meeting.write_created(&mut xml);
        xml.el("messageKey", "duplicateWarning");
        xml.el("message", "This conference was already in existence and may currently be in progress.");
        server.tally.create_duplicate.one();
        return Answer::xml(xml.end());
    }
    if asked_bridge.is_some_and(|bridge| book.bridge_taken(bridge)) {
        return Answer::failed("nonUniqueVoiceBridge", "The selected voice bridge is already in use.");
    }
    let mut meeting = Meeting::new(id, p.filled("name").unwrap_or(id), now);
    meeting.attendee_pw = attendee.map_or_else(|| random_word(8), Into::into);
    meeting.moderator_pw = moderator.map_or_else(|| random_word(8), Into::into);
    meeting.voice_bridge = asked_bridge.map_or_else(random_bridge, Into::into);
    if let Some(number) = p.filled("dialNumber") {
        meeting.dial_number = number.into();
    }
    meeting.duration = p.number("duration").unwrap_or(0);
    meeting.max_users = p.number("maxParticipants").unwrap_or(0);
    meeting.record = p.flag("record").unwrap_or(false);
    meeting.documents = ask.xml.map_or(0, documents);
    for (name, value) in p.iter() {
        if let Some(name) = name.strip_prefix("meta_") {
            let name = name.to_lowercase();
            meeting.metadata.retain(|(n, _)| *n != name);
            meeting.metadata.push((name, value.into()));
        }
    }
    meeting.write_created(&mut xml);
    book.insert(meeting, asked_bridge.is_some());
    drop(book);
    server.tally.create_new.one();
    xml.el("messageKey", "");
    xml.el("message", "");
    Answer::xml(xml.end())
}

fn random_bridge() -> String {
    rand::rng().random_range(10_000..100_000).to_string()
}
