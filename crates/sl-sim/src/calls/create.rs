//! create. A repeated one returns the same meeting with duplicateWarning.
//!
//! A breakout room, as BBB makes it: the meetingID of the request becomes its *internal* id, and its meetingID is made of
//! the parent's internal id, what follows the first dash of the request's, and the sequence. Calls find it by the former
//! only.

use hyper::StatusCode;

use super::{ApiRequest, ApiResponse, count_documents, meeting_id};
use crate::faults::bodies::html_page;
use crate::meeting::{Breakout, Meeting};
use crate::protocol::checksum::sha1_hex;
use crate::protocol::xml::XmlWriter;
use crate::random::{random_voice_bridge, random_word};
use crate::registry::Registry;
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
    let breakout = match breakout(request, id, &mut registry, now) {
        Ok(breakout) => breakout,
        Err(response) => return response,
    };
    if requested_bridge.is_some_and(|bridge| registry.is_bridge_taken(bridge)) {
        return ApiResponse::failed("nonUniqueVoiceBridge", "The selected voice bridge is already in use.");
    }
    let mut meeting = Meeting::new(id, p.non_blank("name").unwrap_or(id), now);
    if let Some((meeting_id, breakout)) = breakout {
        meeting.internal_id = id.into();
        meeting.id = meeting_id;
        meeting.breakout = Some(Box::new(breakout));
    }
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
    if let Some(breakout) = &meeting.breakout
        && let Some(parent) = registry.meeting(&breakout.parent_internal_id, now)
    {
        parent.breakouts.push(meeting.id.clone());
    }
    registry.insert(meeting, requested_bridge.is_some());
    drop(registry);
    server.counters.create_new.increment();
    xml.write_text("messageKey", "");
    xml.write_text("message", "");
    ApiResponse::xml(xml.finish())
}

/// Of a breakout room: its meetingID, and its place among those of its parent. `None`: an ordinary meeting.
fn breakout(
    request: &ApiRequest,
    id: &str,
    registry: &mut Registry,
    now_ms: i64,
) -> Result<Option<(String, Breakout)>, ApiResponse> {
    let p = &request.params;
    if p.flag("isBreakout") != Some(true) {
        return Ok(None);
    }
    let parent = p.trimmed_id("parentMeetingID").ok_or_else(|| {
        ApiResponse::failed(
            "parentMeetingIDMissing",
            "No parent meeting ID was provided for the breakout room",
        )
    })?;
    let parent = registry.meeting(parent, now_ms).ok_or_else(|| {
        ApiResponse::failed("parentMeetingDoesNotExist", "No parent meeting exists for the breakout room")
    })?;
    // BBB parses it without a check.
    let sequence = p.number("sequence").ok_or_else(|| {
        ApiResponse::html(StatusCode::INTERNAL_SERVER_ERROR, html_page("500 Internal Server Error"))
    })?;
    let time = id.split_once('-').map_or("", |(_, rest)| rest);
    let hash = sha1_hex(&format!("{}-{time}-{sequence}", parent.internal_id));
    let free_join = p.flag("freeJoin").unwrap_or(false);
    let parent_internal_id = parent.internal_id.clone();
    Ok(Some((format!("{hash}-{time}"), Breakout { parent_internal_id, sequence, free_join })))
}
