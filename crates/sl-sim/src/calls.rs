//! The API calls: what each answers, and what it does to the meetings.

use bytes::Bytes;
use hyper::StatusCode;
use rand::Rng;

use super::hooks;
use super::join;
use super::meeting::Meeting;
use super::params::Params;
use super::server::Server;
use super::xml::Xml;

/// What a path under `/bigbluebutton/api` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Index,
    Create,
    Join,
    End,
    IsMeetingRunning,
    GetMeetingInfo,
    GetMeetings,
    InsertDocument,
    SendChatMessage,
    GetRecordings,
    HooksCreate,
    HooksDestroy,
    HooksList,
    /// The page behind a join.
    Page,
    /// Under the API, but none of the above.
    Unsupported,
    /// Not under the API at all.
    Elsewhere,
}

impl Call {
    /// The call of a path (without query).
    pub(super) fn of(path: &str) -> Call {
        let Some(name) = path.strip_prefix("/bigbluebutton/api") else {
            return match path {
                "/html5client/join" => Call::Page,
                _ => Call::Elsewhere,
            };
        };
        match name {
            "" | "/" => Call::Index,
            "/create" => Call::Create,
            "/join" => Call::Join,
            "/end" => Call::End,
            "/isMeetingRunning" => Call::IsMeetingRunning,
            "/getMeetingInfo" => Call::GetMeetingInfo,
            "/getMeetings" => Call::GetMeetings,
            "/insertDocument" => Call::InsertDocument,
            "/sendChatMessage" => Call::SendChatMessage,
            "/getRecordings" => Call::GetRecordings,
            "/hooks/create" => Call::HooksCreate,
            "/hooks/destroy" => Call::HooksDestroy,
            "/hooks/list" => Call::HooksList,
            name if name.starts_with('/') => Call::Unsupported,
            _ => Call::Elsewhere,
        }
    }

    /// The name that is signed, and that faults are limited by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Call::Index => "index",
            Call::Create => "create",
            Call::Join => "join",
            Call::End => "end",
            Call::IsMeetingRunning => "isMeetingRunning",
            Call::GetMeetingInfo => "getMeetingInfo",
            Call::GetMeetings => "getMeetings",
            Call::InsertDocument => "insertDocument",
            Call::SendChatMessage => "sendChatMessage",
            Call::GetRecordings => "getRecordings",
            Call::HooksCreate => "hooks/create",
            Call::HooksDestroy => "hooks/destroy",
            Call::HooksList => "hooks/list",
            Call::Page => "page",
            Call::Unsupported => "unsupported",
            Call::Elsewhere => "elsewhere",
        }
    }
}

/// An answer before it becomes HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
}

pub(super) const XML: &str = "text/xml;charset=utf-8";
pub(super) const HTML: &str = "text/html;charset=utf-8";

impl Answer {
    /// 200 with XML.
    pub(super) fn xml(body: Bytes) -> Answer {
        Answer { status: StatusCode::OK, content_type: XML, location: None, body }
    }

    pub(super) fn failed(key: &str, message: &str) -> Answer {
        Answer::xml(Xml::failed(key, message))
    }

    pub(super) fn not_found() -> Answer {
        Answer::failed("notFound", "We could not find a meeting with that meeting ID")
    }

    pub(super) fn html(status: StatusCode, body: Bytes) -> Answer {
        Answer { status, content_type: HTML, location: None, body }
    }
}

/// A request whose checksum was right.
pub(super) struct Ask<'a> {
    pub(super) params: Params<'a>,
    /// An XML body (create, insertDocument).
    pub(super) xml: Option<&'a str>,
    /// `host:port` as the client wrote it, for URLs that lead back here.
    pub(super) host: Option<&'a str>,
}

/// index: the one call that is not signed.
pub(super) fn index(server: &Server) -> Answer {
    let mut xml = Xml::success();
    xml.val("version", "2.0");
    xml.val("apiVersion", "2.0");
    xml.el("bbbVersion", &server.version);
    Answer::xml(xml.end())
}

/// Does the call and answers it.
pub(super) fn answer(server: &Server, call: Call, ask: &Ask) -> Answer {
    match call {
        Call::Create => create(server, ask),
        Call::Join => join::join(server, ask),
        Call::End => end(server, ask),
        Call::IsMeetingRunning => is_meeting_running(server, ask),
        Call::GetMeetingInfo => get_meeting_info(server, ask),
        Call::GetMeetings => get_meetings(server),
        Call::InsertDocument => insert_document(server, ask),
        Call::SendChatMessage => send_chat_message(server, ask),
        Call::GetRecordings => get_recordings(),
        Call::HooksCreate => hooks::create(server, ask),
        Call::HooksDestroy => hooks::destroy(server, ask),
        Call::HooksList => hooks::list(server, ask),
        Call::Index | Call::Page | Call::Unsupported | Call::Elsewhere => unsupported(),
    }
}

pub(super) fn unsupported() -> Answer {
    Answer::failed("unsupportedRequest", "This request is not supported.")
}

/// The meetingID, or the answer that complains about it.
pub(super) fn meeting_id<'a>(ask: &'a Ask) -> Result<&'a str, Answer> {
    let id = ask.params.filled("meetingID").ok_or_else(|| {
        Answer::failed("missingParamMeetingID", "You must provide a meeting ID for the meeting")
    })?;
    let complaint = match id.chars().count() {
        2..=256 if !id.contains(',') => return Ok(id),
        2..=256 => "Meeting ID cannot contain commas",
        _ => "Meeting ID must be between 2 and 256 characters",
    };
    Err(Answer::xml(Xml::failed_validation(complaint)))
}

fn create(server: &Server, ask: &Ask) -> Answer {
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

/// Letters and digits, `length` of them.
pub(super) fn random_word(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}

fn random_bridge() -> String {
    rand::rng().random_range(10_000..100_000).to_string()
}

fn documents(xml: &str) -> u32 {
    xml.matches("<document").count() as u32
}

fn end(server: &Server, ask: &Ask) -> Answer {
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

fn is_meeting_running(server: &Server, ask: &Ask) -> Answer {
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

fn get_meeting_info(server: &Server, ask: &Ask) -> Answer {
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

fn get_meetings(server: &Server) -> Answer {
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

fn insert_document(server: &Server, ask: &Ask) -> Answer {
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

fn send_chat_message(server: &Server, ask: &Ask) -> Answer {
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

fn get_recordings() -> Answer {
    let mut xml = Xml::success();
    xml.empty("recordings");
    xml.el("messageKey", "noRecordings");
    xml.el("message", "There are no recordings for the meeting(s).");
    Answer::xml(xml.end())
}
