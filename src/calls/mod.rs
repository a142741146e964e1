//! The BBB calls, one file each, all of one shape: what it takes, what it does, what it answers.
//!
//! A call gets an [`ApiRequest`] whose checksum has been verified, and gives an [`Answer`] or an
//! [`ApiError`]. It never spells a Redis key and never sees an HTTP connection.

mod create;
mod documents;
mod end;
mod forward;
mod get_meetings;
pub mod guard;
mod index;
mod info;
mod join;
mod recordings;

use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::config::Config;
use crate::servers::Payload;
use crate::store::MeetingKey;
use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::mpsc;

/// A request whose checksum has been verified.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// Query and form body, merged.
    pub params: Params,
    /// An XML body, with its content type.
    pub document: Option<(HeaderValue, Bytes)>,
    /// The file of a form, for calls that take one.
    pub file: Option<Bytes>,
    /// How the client reached us, `https://host`: what links in answers begin with. Empty for calls
    /// that answer none.
    pub base_url: String,
}

/// An answer that has begun cannot be brought to its end. The connection breaks, so that nobody takes a part
/// for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is cut off")]
pub struct CutOff;

/// What a call answers.
#[derive(Debug)]
pub enum Answer {
    /// A BBB response.
    Xml(Bytes),
    /// A BBB response that comes in pieces.
    XmlStream {
        /// Its first pieces.
        begin: Vec<Bytes>,
        /// The others, as they come.
        rest: mpsc::Receiver<Result<Bytes, CutOff>>,
    },
    /// JSON, where BBB has that.
    Json(serde_json::Value),
    /// Sends the browser on.
    Redirect(String),
}

impl From<String> for Answer {
    fn from(xml: String) -> Answer {
        Answer::Xml(Bytes::from(xml))
    }
}

/// A call's result.
pub type CallResult = Result<Answer, ApiError>;

/// The calls of the BBB API that we serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The unsigned one without a name.
    Index,
    /// create
    Create,
    /// join
    Join,
    /// end
    End,
    /// isMeetingRunning
    IsMeetingRunning,
    /// getMeetingInfo
    GetMeetingInfo,
    /// getMeetings
    GetMeetings,
    /// insertDocument
    InsertDocument,
    /// sendChatMessage
    SendChatMessage,
    /// getRecordings
    GetRecordings,
    /// publishRecordings
    PublishRecordings,
    /// updateRecordings
    UpdateRecordings,
    /// deleteRecordings
    DeleteRecordings,
    /// getRecordingTextTracks
    GetRecordingTextTracks,
    /// putRecordingTextTrack
    PutRecordingTextTrack,
}

impl Call {
    /// By the last part of the path; case matters, as in BBB.
    pub fn named(name: &str) -> Option<Call> {
        Some(match name {
            "" => Call::Index,
            "create" => Call::Create,
            "join" => Call::Join,
            "end" => Call::End,
            "isMeetingRunning" => Call::IsMeetingRunning,
            "getMeetingInfo" => Call::GetMeetingInfo,
            "getMeetings" => Call::GetMeetings,
            "insertDocument" => Call::InsertDocument,
            "sendChatMessage" => Call::SendChatMessage,
            "getRecordings" => Call::GetRecordings,
            "publishRecordings" => Call::PublishRecordings,
            "updateRecordings" => Call::UpdateRecordings,
            "deleteRecordings" => Call::DeleteRecordings,
            "getRecordingTextTracks" => Call::GetRecordingTextTracks,
            "putRecordingTextTrack" => Call::PutRecordingTextTrack,
            _ => return None,
        })
    }

    /// As it is signed.
    pub fn name(self) -> &'static str {
        match self {
            Call::Index => "",
            Call::Create => "create",
            Call::Join => "join",
            Call::End => "end",
            Call::IsMeetingRunning => "isMeetingRunning",
            Call::GetMeetingInfo => "getMeetingInfo",
            Call::GetMeetings => "getMeetings",
            Call::InsertDocument => "insertDocument",
            Call::SendChatMessage => "sendChatMessage",
            Call::GetRecordings => "getRecordings",
            Call::PublishRecordings => "publishRecordings",
            Call::UpdateRecordings => "updateRecordings",
            Call::DeleteRecordings => "deleteRecordings",
            Call::GetRecordingTextTracks => "getRecordingTextTracks",
            Call::PutRecordingTextTrack => "putRecordingTextTrack",
        }
    }

    /// Whether it may come as GET (and HEAD).
    pub fn takes_get(self) -> bool {
        !matches!(self, Call::InsertDocument | Call::PutRecordingTextTrack)
    }

    /// Whether it may come as POST.
    pub fn takes_post(self) -> bool {
        !matches!(self, Call::Join | Call::SendChatMessage)
    }

    /// Whether an XML body may come along.
    pub fn takes_document(self) -> bool {
        matches!(self, Call::Create | Call::InsertDocument)
    }

    /// Whether a form may.
    pub fn takes_form(self) -> bool {
        self != Call::InsertDocument
    }

    /// Whether a form may have a file, and of how many bytes at most.
    pub fn takes_file(self) -> Option<usize> {
        (self == Call::PutRecordingTextTrack).then_some(10 * 1024 * 1024)
    }

    /// Whether its answers are JSON, also those of errors.
    pub fn answers_json(self) -> bool {
        matches!(self, Call::GetRecordingTextTracks | Call::PutRecordingTextTrack)
    }

    /// Whether it leaves something half done when it is dropped in the middle. getRecordings does not: a
    /// task of its own would cost it a quarter of its rate, and its clients seldom hang up.
    pub fn must_finish(self) -> bool {
        matches!(
            self,
            Call::Create
                | Call::Join
                | Call::End
                | Call::PublishRecordings
                | Call::UpdateRecordings
                | Call::DeleteRecordings
                | Call::GetRecordingTextTracks
                | Call::PutRecordingTextTrack
        )
    }

    /// Whether its answer has links to where the client is.
    pub fn answers_links(self) -> bool {
        matches!(self, Call::GetRecordings | Call::GetRecordingTextTracks)
    }

    /// Whether it needs a checksum.
    pub fn is_signed(self, config: &Config) -> bool {
        match self {
            Call::Index => false,
            Call::GetMeetings => !config.api.get_meetings_disabled,
            _ => true,
        }
    }

    /// Makes the call.
    pub async fn run(self, app: &App, request: ApiRequest) -> CallResult {
        match self {
            Call::Index => Ok(index::index(app)),
            Call::Create => create::create(app, request).await,
            Call::Join => join::join(app, request).await,
            Call::End => end::end(app, request).await,
            Call::IsMeetingRunning => info::is_meeting_running(app, request).await,
            Call::GetMeetingInfo => info::get_meeting_info(app, request).await,
            Call::GetMeetings => get_meetings::get_meetings(app).await,
            Call::InsertDocument => documents::insert_document(app, request).await,
            Call::SendChatMessage => documents::send_chat_message(app, request).await,
            Call::GetRecordings => recordings::get_recordings(app, request).await,
            Call::PublishRecordings => recordings::publish_recordings(app, request).await,
            Call::UpdateRecordings => recordings::update_recordings(app, request).await,
            Call::DeleteRecordings => recordings::delete_recordings(app, request).await,
            Call::GetRecordingTextTracks => recordings::get_text_tracks(app, request).await,
            Call::PutRecordingTextTrack => recordings::put_text_track(app, request).await,
        }
    }
}

impl ApiRequest {
    /// meetingID, which nearly every call requires.
    fn meeting(&self) -> Result<MeetingKey, ApiError> {
        let id = self.params.present("meetingID").ok_or(ApiError::MissingMeetingId)?;
        Ok(MeetingKey::of(id))
    }

    /// What goes along to the server.
    fn payload(&self) -> Payload {
        match &self.document {
            Some((content_type, body)) => Payload::Xml(content_type.clone(), body.clone()),
            None => Payload::None,
        }
    }
}
