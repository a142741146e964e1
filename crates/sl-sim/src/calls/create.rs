//! create. A repeated one returns the same meeting with duplicateWarning.

use super::{ApiRequest, ApiResponse, count_documents, meeting_id};
use crate::meeting::Meeting;
use crate::protocol::xml::XmlWriter;
use crate::random::{random_voice_bridge, random_word};
use crate::server::Server;

pub(super) fn create(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    let p = &request.params;
    let (attendee, moderator) = (p.non_blank("attendeePW"), p.non_blank("moderatorPW"));
    let requested_bridge = p.non_blank("voiceBridge");
    let now = server.now_ms();
    let mut xml = XmlWriter::success();
    let mut registry = server.registry();
    if let Some(meeting) = registry.meeting(id, now) {
        if attendee.is_some_and(|pw| pw != meeting.attendee_pw)
            || moderator.is_some_and(|pw| pw != meeting.moderator_pw)
        {
            return ApiResponse::failed(
                "idNotUnique",
                "A meeting already exists with that meeting ID.  Please use a different meeting ID.",
            );
        }
        meeting.write_create_fields(&mut xml);
        xml.write_text("messageKey", "duplicateWarning");
        xml.write_text(
            "message",
            "This conference was already in existence and may currently be in progress.",
        );
        server.counters.create_duplicate.increment();
        return ApiResponse::xml(xml.finish());
    }
    if requested_bridge.is_some_and(|bridge| registry.is_bridge_taken(bridge)) {
        return ApiResponse::failed("nonUniqueVoiceBridge", "The selected voice bridge is already in use.");
    }
    let mut meeting = Meeting::new(id, p.non_blank("name").unwrap_or(id), now);
    meeting.attendee_pw = attendee.map_or_else(|| random_word(8), Into::into);
    meeting.moderator_pw = moderator.map_or_else(|| random_word(8), Into::into);
    meeting.voice_bridge = requested_bridge.map_or_else(random_voice_bridge, Into::into);
    if let Some(number) = p.non_blank("dialNumber") {
        meeting.dial_number = number.into();
    }
    meeting.duration = p.number("duration").unwrap_or(0);
    meeting.max_users = p.number("maxParticipants").unwrap_or(0);
    meeting.record = p.flag("record").unwrap_or(false);
    meeting.documents = request.xml.map_or(0, count_documents);
    for (name, value) in p.iter() {
        if let Some(name) = name.strip_prefix("meta_") {
            let name = name.to_lowercase();
            meeting.metadata.retain(|(n, _)| *n != name);
            meeting.metadata.push((name, value.into()));
        }
    }
    meeting.write_create_fields(&mut xml);
    registry.insert(meeting, requested_bridge.is_some());
    drop(registry);
    server.counters.create_new.increment();
    xml.write_text("messageKey", "");
    xml.write_text("message", "");
    ApiResponse::xml(xml.finish())
}
