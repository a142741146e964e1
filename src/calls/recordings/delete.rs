//! deleteRecordings: removes recordings for good.

use crate::app::App;
use crate::bbb::ApiError;
use crate::calls::{ApiRequest, CallResult};

/// Takes recordID, a list; ids that are no recordings do not matter as long as one is.
pub(in crate::calls) async fn delete_recordings(app: &App, request: ApiRequest) -> CallResult {
    let ids = request.distinct_records()?;
    let recordings = app.recordings()?;
    let mut found = false;
    for id in &ids {
        found |= recordings.delete(id).await?;
    }
    if !found {
        return Err(ApiError::RecordingNotFound);
    }
    Ok(String::from("<response><returncode>SUCCESS</returncode><deleted>true</deleted></response>").into())
}
