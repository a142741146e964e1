//! insertDocument and sendChatMessage: forwarded to the meeting's server.

use super::{ApiRequest, Call, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use bytes::Bytes;
use http::HeaderValue;

/// Takes meetingID, and slides as XML, which are forwarded unchanged.
pub(super) async fn insert_document(app: &App, mut request: ApiRequest) -> CallResult {
    // A missing document is for the server to report; but it accepts this call as POST only.
    request.document.get_or_insert((HeaderValue::from_static("application/xml"), Bytes::new()));
    let at = app.locate(&request.meeting_key()?).await?.ok_or(ApiError::MeetingNotFound)?;
    app.forward(Call::InsertDocument, &at, &request).await
}

/// Takes meetingID and message.
pub(super) async fn send_chat_message(app: &App, mut request: ApiRequest) -> CallResult {
    let at = app.locate(&request.meeting_key()?).await?.ok_or(ApiError::ChatMeetingNotFound)?;
    app.forward(Call::SendChatMessage, &at, &request).await
}
