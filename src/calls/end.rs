//! end: ends a meeting, and releases it once its server has confirmed.

use super::forward::log_store_failure;
use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use crate::store::{FindOutcome, FoundRecord};

/// Takes meetingID. Calls the server first; on SUCCESS or notFound releases the meeting's record, voice
/// bridge and load. When the server does not respond, the record stays.
pub(super) async fn end(app: &App, mut request: ApiRequest) -> CallResult {
    let wanted = request.meeting_key()?;
    let FindOutcome::Found(at, Some(FoundRecord { meeting, generation })) =
        app.store.find(&wanted, true).await?
    else {
        return Err(ApiError::MeetingNotFound);
    };
    let reply = app
        .servers
        .call(&at, "end", &request.params, request.payload())
        .await
        .map_err(|failure| app.report_failure(Call::End, &at, &failure))?;
    // An internal id that its server does not know may be that of an earlier meeting with this meetingID.
    let is_gone = reply.envelope.is_not_found() && meeting == wanted;
    if reply.envelope.success || is_gone {
        // The meeting has ended, whatever Redis says. The next polls release its record.
        if let Err(failure) = app.store.release(&meeting, Some((&at.id, &generation))).await {
            log_store_failure(&failure);
        }
    }
    Ok(CallResponse::Xml(reply.body))
}
