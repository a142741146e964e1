//! The API calls: their effects on the meetings, and their responses.

mod create;
pub(crate) mod hooks;
pub(crate) mod join;
mod meetings;
mod session;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

use crate::protocol::params::Params;
use crate::protocol::xml::{XmlWriter, escape};
use crate::server::{Server, lock};
use crate::version::BbbLine;

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
    GetJoinUrl,
    LearningDashboard,
    Stuns,
    SignOut,
    GetSessions,
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
            "/getJoinUrl" => Call::GetJoinUrl,
            "/learningDashboard" => Call::LearningDashboard,
            "/stuns" => Call::Stuns,
            "/signOut" => Call::SignOut,
            "/getSessions" => Call::GetSessions,
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
            Call::GetJoinUrl => "getJoinUrl",
            Call::LearningDashboard => "learningDashboard",
            Call::Stuns => "stuns",
            Call::SignOut => "signOut",
            Call::GetSessions => "getSessions",
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
const JSON: &str = "application/json;charset=utf-8";

impl ApiResponse {
    /// 200 with XML.
    pub(crate) fn xml(body: Bytes) -> ApiResponse {
        ApiResponse { status: StatusCode::OK, content_type: XML, location: None, body }
    }

    pub(crate) fn failed(key: &str, message: &str) -> ApiResponse {
        ApiResponse::xml(XmlWriter::failed(key, message))
    }

    /// A meeting that does not exist. BBB 2.4 validates the id instead of looking for the meeting.
    pub(crate) fn not_found(server: &Server) -> ApiResponse {
        match server.line() {
            BbbLine::V2_4 => ApiResponse::failed(
                "validationError",
                "Invalid meeting ID: A meeting with that ID does not exist",
            ),
            _ => ApiResponse::failed("notFound", "We could not find a meeting with that meeting ID"),
        }
    }

    /// 200 with JSON.
    pub(crate) fn json(body: &serde_json::Value) -> ApiResponse {
        let body = Bytes::from(format!("{body:#}"));
        ApiResponse { status: StatusCode::OK, content_type: JSON, location: None, body }
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

/// index: the only unsigned call. BBB 3.0 answers JSON if the request's own content type is JSON.
pub(crate) fn index(server: &Server, content_type: Option<&str>) -> ApiResponse {
    let version = lock(&server.version).clone();
    let (ws, api) =
        (format!("ws://{}/graphql", server.authority), format!("http://{}/api/rest", server.authority));
    if version.line() >= BbbLine::V3_0 && content_type == Some("application/json") {
        return ApiResponse::json(&json!({ "response": {
            "returncode": "SUCCESS", "version": "2.0", "apiVersion": "2.0", "bbbVersion": version.as_str(),
            "graphqlWebsocketUrl": ws, "graphqlApiUrl": api, "html5PluginSdkVersion": "0.0.80",
        } }));
    }
    let mut xml = XmlWriter::success();
    xml.write_value("version", "2.0");
    xml.write_value("apiVersion", "2.0");
    xml.write_text("bbbVersion", version.as_str());
    if version.line() >= BbbLine::V3_0 {
        xml.write_text("graphqlWebsocketUrl", &ws);
        xml.write_text("graphqlApiUrl", &api);
        xml.write_text("html5PluginSdkVersion", "0.0.80");
    }
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
        Call::GetSessions => session::get_sessions(),
        Call::Index
        | Call::ClientPage
        | Call::GetJoinUrl
        | Call::LearningDashboard
        | Call::Stuns
        | Call::SignOut
        | Call::Unsupported
        | Call::OutsideApi => unsupported(),
    }
}

/// The calls of a browser, with a sessionToken instead of a checksum. `None`: another call.
pub(crate) fn dispatch_session(server: &Server, call: Call, params: &Params) -> Option<ApiResponse> {
    match call {
        Call::GetJoinUrl => Some(session::get_join_url(server, params)),
        Call::LearningDashboard => Some(session::learning_dashboard(params)),
        Call::Stuns => Some(session::stuns(server, params)),
        Call::SignOut => Some(session::sign_out(server, params)),
        Call::ClientPage => Some(join::client_page(server, params)),
        _ => None,
    }
}

/// Whether this version has the call.
pub(crate) fn has_call(server: &Server, call: Call) -> bool {
    match call {
        Call::SendChatMessage | Call::GetJoinUrl => server.line() >= BbbLine::V3_0,
        Call::Unsupported => false,
        _ => true,
    }
}

/// An unknown call: before 3.0, the 404 of the web framework.
pub(crate) fn unknown_call(server: &Server, path: &str) -> ApiResponse {
    if server.line() >= BbbLine::V3_0 {
        return unsupported();
    }
    let body = format!(
        "<Map><timestamp>{}</timestamp><status>404</status><error>Not Found</error><path>{}</path></Map>",
        server.now_ms(),
        escape(path),
    );
    let content_type = "application/xml;charset=UTF-8";
    ApiResponse { status: StatusCode::NOT_FOUND, content_type, location: None, body: Bytes::from(body) }
}

pub(crate) fn unsupported() -> ApiResponse {
    ApiResponse::failed("unsupportedRequest", "This request is not supported.")
}

/// The meetingID, without the spaces around it, or the error response.
fn meeting_id<'a>(request: &'a ApiRequest) -> Result<&'a str, ApiResponse> {
    let id = request.params.trimmed_id("meetingID").ok_or_else(|| {
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
