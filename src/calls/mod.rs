//! The BBB calls, all of the same shape: what a call takes, does and returns. [`spec`] has the
//! rules of each, [`guard`] enforces them.
//!
//! A call gets an [`ApiRequest`] whose checksum has been verified, and returns a [`CallResponse`] or an
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
pub mod spec;

pub use index::{index_as_json, is_json_wanted};
pub use spec::Call;

use crate::app::App;
use crate::bbb::{ApiError, Params};
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
    /// Scheme and host that the client used, `https://host`: links in the response begin with it. Empty
    /// for calls whose response has none.
    pub base_url: String,
}

/// A response that has begun cannot be completed. The connection is closed, so that the client does not take
/// a part for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("response stream truncated")]
pub struct TruncatedStream;

/// What a call returns.
#[derive(Debug)]
pub enum CallResponse {
    /// A BBB response.
    Xml(Bytes),
    /// A BBB response that is sent as it is produced.
    XmlStream {
        /// What is there already.
        first_chunks: Vec<Bytes>,
        /// The rest.
        rest: mpsc::Receiver<Result<Bytes, TruncatedStream>>,
    },
    /// JSON, where BBB has it.
    Json(serde_json::Value),
    /// Redirects the browser to this URL.
    Redirect(String),
}

impl From<String> for CallResponse {
    fn from(xml: String) -> CallResponse {
        CallResponse::Xml(Bytes::from(xml))
    }
}

/// A call's result.
pub type CallResult = Result<CallResponse, ApiError>;

impl Call {
    /// Carries out the call.
    pub async fn run(self, app: &App, request: ApiRequest) -> CallResult {
        match self {
            Call::Index => Ok(index::index(app).await),
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
    /// The required meetingID. Removes the spaces around it, which BBB removes too.
    fn meeting_key(&mut self) -> Result<MeetingKey, ApiError> {
        self.trim_id("meetingID").ok_or(ApiError::MissingMeetingId)
    }

    /// The meeting that a parameter names, if it names one. Removes the spaces around its id.
    fn trim_id(&mut self, name: &str) -> Option<MeetingKey> {
        let given = self.params.get(name)?;
        let key = MeetingKey::of(given);
        if key.as_str().len() != given.len() {
            self.params.set(name, key.as_str());
        }
        (!key.as_str().is_empty()).then_some(key)
    }

    /// The body for the server.
    fn payload(&self) -> Payload {
        match &self.document {
            Some((content_type, body)) => Payload::Xml(content_type.clone(), body.clone()),
            None => Payload::None,
        }
    }
}
