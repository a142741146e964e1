//! insertDocument and sendChatMessage: passed on to the meeting's server.

use super::{ApiRequest, Call, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use bytes::Bytes;
use http::HeaderValue;

/// Takes meetingID, and slides as XML, which are forwarded untouched.
pub(super) async fn insert_document(app: &App, mut request: ApiRequest) -> CallResult {
    // Without a document the server has the word; but it takes this call as POST only.
    request.document.get_or_insert((HeaderValue::from_static("application/xml"), Bytes::new()));
    let at = app.locate(&request.meeting_key()?).await?.ok_or(ApiError::MeetingNotFound)?;
    app.forward(Call::InsertDocument, &at, &request).await
}

/// Takes meetingID and message.
pub(super) async fn send_chat_message(app: &App, request: ApiRequest) -> CallResult {
    let at = app.locate(&request.meeting_key()?).await?.ok_or(ApiError::MeetingNotFound)?;
    app.forward(Call::SendChatMessage, &at, &request).await
}
