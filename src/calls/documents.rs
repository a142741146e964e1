//! insertDocument and sendChatMessage: passed on to the meeting's server.

use super::{ApiRequest, App, Call, CallResult};
use crate::bbb::ApiError;

/// Takes meetingID, and slides as XML, which are forwarded untouched.
pub(super) async fn insert_document(app: &App, request: ApiRequest) -> CallResult {
    let at = app.find(&request.meeting()?).await?.ok_or(ApiError::MeetingNotFound)?;
    app.forward(Call::InsertDocument, &at, &request).await
}

/// Takes meetingID and message.
pub(super) async fn send_chat_message(app: &App, request: ApiRequest) -> CallResult {
    let at = app.find(&request.meeting()?).await?.ok_or(ApiError::MeetingNotFound)?;
    app.forward(Call::SendChatMessage, &at, &request).await
}
