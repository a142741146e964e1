//! Forwards a request to the server of its meeting.

use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use crate::servers::ServerCallError;
use crate::store::{MeetingKey, ServerRef, StoreError};
use crate::telemetry::permit_log;
use std::sync::Arc;
use tracing::{error, warn};

impl App {
    /// The meeting's server, if the meeting is recorded.
    pub(super) async fn locate(&self, meeting: &MeetingKey) -> Result<Option<Arc<ServerRef>>, ApiError> {
        Ok(self.store.locate(meeting).await?)
    }

    /// Forwards a request, and returns the server's response, unchanged unless it had to be repaired.
    pub(super) async fn forward(&self, call: Call, at: &ServerRef, request: &ApiRequest) -> CallResult {
        match self.servers.call(at, call.name(), &request.params, request.payload()).await {
            Ok(reply) => Ok(CallResponse::Xml(reply.body)),
            Err(failure) => Err(self.report_failure(call, at, &failure)),
        }
    }

    /// Logs that a server gave no response, has it probed, and returns the error for the client.
    pub(super) fn report_failure(&self, call: Call, at: &ServerRef, failure: &ServerCallError) -> ApiError {
        if let Some(permit) = permit_log(failure.kind(), &at.id) {
            let (call, suppressed) = (call.name(), permit.suppressed);
            warn!(call, server = at.id, %failure, suppressed, "request to a BBB server failed");
        }
        self.suspects.report(at, failure);
        match call {
            Call::Create => ApiError::CreateFailed,
            Call::InsertDocument => ApiError::InsertFailed,
            _ => ApiError::ServerAccessFailed,
        }
    }
}

/// Logs that Redis failed a request, once a second.
pub(super) fn log_store_failure(failure: &StoreError) {
    if let Some(permit) = permit_log("Redis", "") {
        error!(%failure, suppressed = permit.suppressed, "Redis query of a request failed");
    }
}

impl From<StoreError> for ApiError {
    fn from(failure: StoreError) -> ApiError {
        log_store_failure(&failure);
        ApiError::StateUnavailable
    }
}
