//! isMeetingRunning and getMeetingInfo: forwarded to the meeting's server.

use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;

/// Takes meetingID. An unknown meeting is not running.
pub(super) async fn is_meeting_running(app: &App, mut request: ApiRequest) -> CallResult {
    match app.locate(&request.meeting_key()?).await? {
        Some(at) => app.forward(Call::IsMeetingRunning, &at, &request).await,
        None => Ok(CallResponse::from(
            "<response><returncode>SUCCESS</returncode><running>false</running></response>".to_owned(),
        )),
    }
}

/// Takes meetingID.
pub(super) async fn get_meeting_info(app: &App, mut request: ApiRequest) -> CallResult {
    let at = app.locate(&request.meeting_key()?).await?.ok_or(ApiError::MeetingNotFound)?;
    app.forward(Call::GetMeetingInfo, &at, &request).await
}
