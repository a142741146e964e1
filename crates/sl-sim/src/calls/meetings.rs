//! The calls that query or change a meeting.

use bytes::Bytes;

use super::{ApiRequest, ApiResponse, count_documents, meeting_id};
use crate::protocol::xml::XmlWriter;
use crate::server::Server;

pub(super) fn end(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    let now = server.now_ms();
    let mut registry = server.registry();
    let Some(meeting) = registry.meeting(id, now) else {
        return ApiResponse::not_found(server);
    };
    if request.params.non_blank("password").is_some_and(|pw| pw != meeting.moderator_pw) {
        return ApiResponse::failed(
            "invalidPassword",
            "You must supply the moderator password for this call.",
        );
    }
    registry.end(id);
    drop(registry);
    let mut xml = XmlWriter::success();
    xml.write_text("messageKey", "sentEndMeetingRequest");
    xml.write_text(
        "message",
        "A request to end the meeting was sent.  Please wait a few seconds, and then use the \
         getMeetingInfo or isMeetingRunning API calls to verify that it was ended.",
    );
    ApiResponse::xml(xml.finish())
}

pub(super) fn is_meeting_running(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    let now = server.now_ms();
    let running = server.registry().meeting(id, now).is_some_and(|m| m.is_running());
    // The most frequent response: two constants.
    ApiResponse::xml(Bytes::from_static(if running {
        b"<response><returncode>SUCCESS</returncode><running>true</running></response>"
    } else {
        b"<response><returncode>SUCCESS</returncode><running>false</running></response>"
    }))
}

pub(super) fn get_meeting_info(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    let mut xml = XmlWriter::success();
    match server.registry().meeting(id, server.now_ms()) {
        Some(meeting) => meeting.write_info_fields(&mut xml),
        None => return ApiResponse::not_found(server),
    }
    ApiResponse::xml(xml.finish())
}

pub(super) fn get_meetings(server: &Server) -> ApiResponse {
    let mut xml = XmlWriter::success();
    let mut registry = server.registry();
    let meetings = registry.list_meetings(server.now_ms());
    if meetings.is_empty() {
        xml.write_empty("meetings");
        xml.write_text("messageKey", "noMeetings");
        xml.write_text("message", "no meetings were found on this server");
        return ApiResponse::xml(xml.finish());
    }
    xml.open("meetings");
    for meeting in meetings {
        xml.open("meeting");
        meeting.write_info_fields(&mut xml);
        xml.close("meeting");
    }
    xml.close("meetings");
    ApiResponse::xml(xml.finish())
}

pub(super) fn insert_document(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    match server.registry().meeting(id, server.now_ms()) {
        Some(meeting) => meeting.documents += request.xml.map_or(0, count_documents),
        None => return ApiResponse::not_found(server),
    }
    let mut xml = XmlWriter::success();
    xml.write_text("message", "Presentation is being uploaded");
    ApiResponse::xml(xml.finish())
}

pub(super) fn send_chat_message(server: &Server, request: &ApiRequest) -> ApiResponse {
    let id = match meeting_id(request) {
        Ok(id) => id,
        Err(response) => return response,
    };
    let Some(message) = request.params.non_blank("message") else {
        return ApiResponse::xml(XmlWriter::failed_validation("You must provide a message"));
    };
    match server.registry().meeting(id, server.now_ms()).filter(|m| m.is_running()) {
        Some(meeting) => meeting.chat.push(message.into()),
        // A meeting without participants is not active either.
        None => return ApiResponse::failed("meetingNotFound", "Meeting not found or not active"),
    }
    let mut xml = XmlWriter::success();
    xml.write_text("messageKey", "");
    xml.write_text("message", "");
    ApiResponse::xml(xml.finish())
}

pub(super) fn get_recordings() -> ApiResponse {
    let mut xml = XmlWriter::success();
    xml.write_empty("recordings");
    xml.write_text("messageKey", "noRecordings");
    xml.write_text("message", "There are no recordings for the meeting(s).");
    ApiResponse::xml(xml.finish())
}
