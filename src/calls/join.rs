//! join: sends a browser to the server of its meeting.

use super::forward::log_store_failure;
use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use crate::store::JoinOutcome;

/// Takes meetingID and every parameter that the servers take. Counts the participant and redirects to the
/// server's signed join URL; with `redirect=false` it returns the server's own XML.
pub(super) async fn join(app: &App, mut request: ApiRequest) -> CallResult {
    let api = &app.config.api;
    api.join.apply(&mut request.params);
    let meeting = request.meeting_key()?;
    let accounting = app.config.load.accounting;
    let at = match app.store.join(&meeting, api.disabled_refuses_joins, accounting).await? {
        JoinOutcome::Found(at) => at,
        JoinOutcome::Unavailable => return Err(ApiError::ServerUnavailable),
        JoinOutcome::Unknown => return Err(ApiError::MeetingNotFound),
    };
    api.join.strip(&mut request.params);
    let inline = request.params.get("redirect").is_some_and(|r| r.eq_ignore_ascii_case("false"));
    if inline {
        let reply = app.servers.call(&at, "join", &request.params, request.payload()).await;
        if !reply.as_ref().is_ok_and(|reply| reply.envelope.success) {
            // The response is there, whatever Redis says.
            if let Err(failure) = app.store.unjoin(&meeting, accounting).await {
                log_store_failure(&failure);
            }
        }
        return match reply {
            Ok(reply) => Ok(CallResponse::Xml(reply.body)),
            Err(failure) => Err(app.report_failure(Call::Join, &at, &failure)),
        };
    }
    Ok(CallResponse::Redirect(app.servers.signed_url(&at, "join", &request.params)))
}
