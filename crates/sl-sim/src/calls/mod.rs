//! The API calls: what each answers, and what it does to the meetings.

mod create;
pub(crate) mod hooks;
pub(crate) mod join;
mod meetings;

use bytes::Bytes;
use hyper::StatusCode;
use rand::Rng;

use crate::protocol::params::Params;
use crate::protocol::xml::Xml;
use crate::server::Server;

/// What a path under `/bigbluebutton/api` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
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
    pub(crate) fn of(path: &str) -> Call {
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
    pub(crate) fn name(self) -> &'static str {
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
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

pub(crate) const XML: &str = "text/xml;charset=utf-8";
pub(crate) const HTML: &str = "text/html;charset=utf-8";

impl Answer {
    /// 200 with XML.
    pub(crate) fn xml(body: Bytes) -> Answer {
        Answer { status: StatusCode::OK, content_type: XML, location: None, body }
    }

    pub(crate) fn failed(key: &str, message: &str) -> Answer {
        Answer::xml(Xml::failed(key, message))
    }

    pub(crate) fn not_found() -> Answer {
        Answer::failed("notFound", "We could not find a meeting with that meeting ID")
    }

    pub(crate) fn html(status: StatusCode, body: Bytes) -> Answer {
        Answer { status, content_type: HTML, location: None, body }
    }
}

/// A request whose checksum was right.
pub(crate) struct Ask<'a> {
    pub(crate) params: Params<'a>,
    /// An XML body (create, insertDocument).
    pub(crate) xml: Option<&'a str>,
    /// `host:port` as the client wrote it, for URLs that lead back here.
    pub(crate) host: Option<&'a str>,
}

/// index: the one call that is not signed.
pub(crate) fn index(server: &Server) -> Answer {
    let mut xml = Xml::success();
    xml.val("version", "2.0");
    xml.val("apiVersion", "2.0");
    xml.el("bbbVersion", &server.version);
    Answer::xml(xml.end())
}

/// Does the call and answers it.
pub(crate) fn answer(server: &Server, call: Call, ask: &Ask) -> Answer {
    match call {
        Call::Create => create::create(server, ask),
        Call::Join => join::join(server, ask),
        Call::End => meetings::end(server, ask),
        Call::IsMeetingRunning => meetings::is_meeting_running(server, ask),
        Call::GetMeetingInfo => meetings::get_meeting_info(server, ask),
        Call::GetMeetings => meetings::get_meetings(server),
        Call::InsertDocument => meetings::insert_document(server, ask),
        Call::SendChatMessage => meetings::send_chat_message(server, ask),
        Call::GetRecordings => meetings::get_recordings(),
        Call::HooksCreate => hooks::create(server, ask),
        Call::HooksDestroy => hooks::destroy(server, ask),
        Call::HooksList => hooks::list(server, ask),
        Call::Index | Call::Page | Call::Unsupported | Call::Elsewhere => unsupported(),
    }
}

pub(crate) fn unsupported() -> Answer {
    Answer::failed("unsupportedRequest", "This request is not supported.")
}

/// The meetingID, or the answer that complains about it.
fn meeting_id<'a>(ask: &'a Ask) -> Result<&'a str, Answer> {
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

/// Letters and digits, `length` of them.
pub(crate) fn random_word(length: usize) -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
}

fn documents(xml: &str) -> u32 {
    xml.matches("<document").count() as u32
}
