//! The API calls: their effects on the meetings, and their responses.

mod create;
pub(crate) mod hooks;
pub(crate) mod join;
mod meetings;

use bytes::Bytes;
use hyper::StatusCode;

use crate::protocol::params::Params;
use crate::protocol::xml::XmlWriter;
use crate::server::Server;

/// A call of the BBB API, or another path.
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
    /// The page that join redirects to.
    ClientPage,
    /// An unknown call of the API.
    Unsupported,
    /// A path outside the API.
    OutsideApi,
}

impl Call {
    /// Finds the call of a path without its query.
    pub(crate) fn from_path(path: &str) -> Call {
        let Some(name) = path.strip_prefix("/bigbluebutton/api") else {
            return match path {
                "/html5client/join" => Call::ClientPage,
                _ => Call::OutsideApi,
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
            _ => Call::OutsideApi,
        }
    }

    /// The name that goes into the checksum, and that a fault's `calls` lists.
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
            Call::ClientPage => "page",
            Call::Unsupported => "unsupported",
            Call::OutsideApi => "elsewhere",
        }
    }
}

/// A response of the API, before it becomes HTTP.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

pub(crate) const XML: &str = "text/xml;charset=utf-8";
pub(crate) const HTML: &str = "text/html;charset=utf-8";

impl ApiResponse {
    /// 200 with XML.
    pub(crate) fn xml(body: Bytes) -> ApiResponse {
        ApiResponse { status: StatusCode::OK, content_type: XML, location: None, body }
    }

    pub(crate) fn failed(key: &str, message: &str) -> ApiResponse {
        ApiResponse::xml(XmlWriter::failed(key, message))
    }

    pub(crate) fn not_found() -> ApiResponse {
        ApiResponse::failed("notFound", "We could not find a meeting with that meeting ID")
    }

    pub(crate) fn html(status: StatusCode, body: Bytes) -> ApiResponse {
        ApiResponse { status, content_type: HTML, location: None, body }
    }
}

/// A request with a valid checksum.
pub(crate) struct ApiRequest<'a> {
    pub(crate) params: Params<'a>,
    /// The XML body (create, insertDocument).
    pub(crate) xml: Option<&'a str>,
    /// The Host header, for URLs of this server.
    pub(crate) host: Option<&'a str>,
}

/// index: the only unsigned call.
pub(crate) fn index(server: &Server) -> ApiResponse {
    let mut xml = XmlWriter::success();
    xml.write_value("version", "2.0");
    xml.write_value("apiVersion", "2.0");
    xml.write_text("bbbVersion", &server.version);
    ApiResponse::xml(xml.finish())
}

/// Executes a signed call.
pub(crate) fn dispatch(server: &Server, call: Call, request: &ApiRequest) -> ApiResponse {
    match call {
        Call::Create => create::create(server, request),
        Call::Join => join::join(server, request),
        Call::End => meetings::end(server, request),
        Call::IsMeetingRunning => meetings::is_meeting_running(server, request),
        Call::GetMeetingInfo => meetings::get_meeting_info(server, request),
        Call::GetMeetings => meetings::get_meetings(server),
        Call::InsertDocument => meetings::insert_document(server, request),
        Call::SendChatMessage => meetings::send_chat_message(server, request),
        Call::GetRecordings => meetings::get_recordings(),
        Call::HooksCreate => hooks::create(server, request),
        Call::HooksDestroy => hooks::destroy(server, request),
        Call::HooksList => hooks::list(server, request),
        Call::Index | Call::ClientPage | Call::Unsupported | Call::OutsideApi => unsupported(),
    }
}

pub(crate) fn unsupported() -> ApiResponse {
    ApiResponse::failed("unsupportedRequest", "This request is not supported.")
}

/// The meetingID, or the error response.
fn meeting_id<'a>(request: &'a ApiRequest) -> Result<&'a str, ApiResponse> {
    let id = request.params.non_blank("meetingID").ok_or_else(|| {
        ApiResponse::failed("missingParamMeetingID", "You must provide a meeting ID for the meeting")
    })?;
    let message = match id.chars().count() {
        2..=256 if !id.contains(',') => return Ok(id),
        2..=256 => "Meeting ID cannot contain commas",
        _ => "Meeting ID must be between 2 and 256 characters",
    };
    Err(ApiResponse::xml(XmlWriter::failed_validation(message)))
}

fn count_documents(xml: &str) -> u32 {
    xml.matches("<document").count() as u32
}
