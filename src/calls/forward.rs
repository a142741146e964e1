//! Forwards a request to the server of its meeting.

use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use crate::servers::ServerCallError;
use crate::store::{MeetingKey, ServerRef, StoreError};
use std::sync::Arc;
use tracing::warn;

impl App {
    /// The meeting's server, if the meeting is recorded.
    pub(super) async fn locate(&self, meeting: &MeetingKey) -> Result<Option<Arc<ServerRef>>, ApiError> {
        Ok(self.store.locate(meeting).await?)
    }

    /// Forwards a request, and returns the server's response unchanged.
    pub(super) async fn forward(&self, call: Call, at: &ServerRef, request: &ApiRequest) -> CallResult {
        match self.servers.call(at, call.name(), &request.params, request.payload()).await {
            Ok(reply) => Ok(CallResponse::Xml(reply.body)),
            Err(failure) => Err(self.report_failure(call, at, &failure)),
        }
    }

    /// Logs that a server gave no response, has it probed, and returns the error for the client.
    pub(super) fn report_failure(&self, call: Call, at: &ServerRef, failure: &ServerCallError) -> ApiError {
        // The client logs that a server is busy, now and then.
        if !matches!(failure, ServerCallError::Busy) {
            warn!(call = call.name(), server = at.id, %failure, "request to a BBB server failed");
        }
        self.suspects.report(at, failure);
        match call {
            Call::Create => ApiError::CreateFailed,
            Call::InsertDocument => ApiError::InsertFailed,
            _ => ApiError::ServerAccessFailed,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(failure: StoreError) -> ApiError {
        tracing::error!(%failure, "Redis query of a request failed");
        ApiError::StateUnavailable
    }
}
