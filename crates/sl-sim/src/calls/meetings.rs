//! The calls that query or change a meeting.

use bytes::Bytes;

use super::{Answer, Ask, documents, meeting_id};
use crate::protocol::xml::Xml;
use crate::server::Server;

pub(super) fn end(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let now = server.now_ms();
    let mut book = server.book();
    let Some(meeting) = book.get(id, now) else {
        return Answer::not_found();
    };
    if ask.params.filled("password").is_some_and(|pw| pw != meeting.moderator_pw) {
        return Answer::failed("invalidPassword", "You must supply the moderator password for this call.");
    }
    book.end(id);
    drop(book);
    let mut xml = Xml::success();
    xml.el("messageKey", "sentEndMeetingRequest");
    xml.el(
        "message",
        "A request to end the meeting was sent.  Please wait a few seconds, and then use the \
         getMeetingInfo or isMeetingRunning API calls to verify that it was ended.",
    );
    Answer::xml(xml.end())
}

pub(super) fn is_meeting_running(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let now = server.now_ms();
    let running = server.book().get(id, now).is_some_and(|m| m.running());
    // The busiest answer of all: two constants.
    Answer::xml(Bytes::from_static(if running {
        b"<response><returncode>SUCCESS</returncode><running>true</running></response>"
    } else {
        b"<response><returncode>SUCCESS</returncode><running>false</running></response>"
    }))
}

pub(super) fn get_meeting_info(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let mut xml = Xml::success();
    match server.book().get(id, server.now_ms()) {
        Some(meeting) => meeting.write_info(&mut xml),
        None => return Answer::not_found(),
    }
    Answer::xml(xml.end())
}

pub(super) fn get_meetings(server: &Server) -> Answer {
    let mut xml = Xml::success();
    let mut book = server.book();
    let meetings = book.list(server.now_ms());
    if meetings.is_empty() {
        xml.empty("meetings");
        xml.el("messageKey", "noMeetings");
        xml.el("message", "no meetings were found on this server");
        return Answer::xml(xml.end());
    }
    xml.open("meetings");
    for meeting in meetings {
        xml.open("meeting");
        meeting.write_info(&mut xml);
        xml.close("meeting");
    }
    xml.close("meetings");
    Answer::xml(xml.end())
}

pub(super) fn insert_document(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    match server.book().get(id, server.now_ms()) {
        Some(meeting) => meeting.documents += ask.xml.map_or(0, documents),
        None => return Answer::not_found(),
    }
    let mut xml = Xml::success();
    xml.el("message", "Presentation is being uploaded");
    Answer::xml(xml.end())
}

pub(super) fn send_chat_message(server: &Server, ask: &Ask) -> Answer {
    let id = match meeting_id(ask) {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let Some(message) = ask.params.filled("message") else {
        return Answer::xml(Xml::failed_validation("You must provide a message"));
    };
    match server.book().get(id, server.now_ms()) {
        Some(meeting) => meeting.chat.push(message.into()),
        None => return Answer::not_found(),
    }
    let mut xml = Xml::success();
    xml.el("messageKey", "");
    xml.el("message", "");
    Answer::xml(xml.end())
}

pub(super) fn get_recordings() -> Answer {
    let mut xml = Xml::success();
    xml.empty("recordings");
    xml.el("messageKey", "noRecordings");
    xml.el("message", "There are no recordings for the meeting(s).");
    Answer::xml(xml.end())
}
