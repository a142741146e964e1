//! Passing a request on to the server of its meeting.

use super::{ApiRequest, Call, CallResponse, CallResult};
use crate::app::App;
use crate::bbb::ApiError;
use crate::servers::ServerCallError;
use crate::store::{MeetingKey, ServerRef, StoreError};
use std::sync::Arc;
use tracing::warn;

impl App {
    /// The meeting's server.
    pub(super) async fn locate(&self, meeting: &MeetingKey) -> Result<Option<Arc<ServerRef>>, ApiError> {
        Ok(self.store.locate(meeting).await?)
    }

    /// Passes a request on to the meeting's server, and its answer back as it came.
    pub(super) async fn forward(&self, call: Call, at: &ServerRef, request: &ApiRequest) -> CallResult {
        match self.servers.call(at, call.name(), &request.params, request.payload()).await {
            Ok(reply) => Ok(CallResponse::Xml(reply.body)),
            Err(failure) => Err(self.report_failure(call, at, &failure)),
        }
    }

    /// The server gave no answer: says so in the log, and to the client, and has the server polled.
    pub(super) fn report_failure(&self, call: Call, at: &ServerRef, failure: &ServerCallError) -> ApiError {
        warn!(call = call.name(), server = at.id, %failure, "a server did not answer a request");
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
        tracing::error!(%failure, "a request needs Redis");
        ApiError::StateUnavailable
    }
}
