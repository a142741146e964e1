//! end: ends a meeting, and releases it once its server has confirmed.

use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use crate::store::FindOutcome;

/// Takes meetingID. Calls the server first; on SUCCESS or notFound releases the meeting's record, voice
/// bridge and load. When the server does not respond, the record stays.
pub(super) async fn end(app: &App, request: ApiRequest) -> CallResult {
    let meeting = request.meeting_key()?;
    let FindOutcome::Found(at, generation) = app.store.find(&meeting, true).await? else {
        return Err(ApiError::MeetingNotFound);
    };
    let reply = app
        .backend
        .call(&at, "end", &request.params, request.payload())
        .await
        .map_err(|failure| app.report_failure(Call::End, &at, &failure))?;
    if reply.envelope.success || reply.envelope.message_key == "notFound" {
        app.store.release(&meeting, Some((&at.id, &generation))).await?;
    }
    Ok(CallResponse::Xml(reply.body))
}
