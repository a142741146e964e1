//! deleteRecordings: destroys recordings.

use crate::app::App;
use crate::bbb::ApiError;
use crate::calls::{ApiRequest, CallResult};

/// Takes recordID, a list. Ignores unknown ids, unless all are unknown.
pub(in crate::calls) async fn delete_recordings(app: &App, request: ApiRequest) -> CallResult {
    let recordings = app.recordings()?;
    let ids = request.distinct_record_ids()?;
    let mut found = false;
    for id in &ids {
        found |= recordings.delete(id).await?;
    }
    if !found {
        return Err(ApiError::RecordingNotFound);
    }
    Ok(String::from("<response><returncode>SUCCESS</returncode><deleted>true</deleted></response>").into())
}
