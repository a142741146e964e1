//! publishRecordings: moves recordings to the published or the unpublished shelf.

use crate::app::App;
use crate::bbb::ApiError;
use crate::calls::{ApiRequest, CallResult};

/// Takes recordID, a list, and publish, which the response repeats as `published`. Ignores unknown ids, unless
/// all are unknown.
pub(in crate::calls) async fn publish_recordings(app: &App, request: ApiRequest) -> CallResult {
    let recordings = app.recordings()?;
    let ids = request.distinct_record_ids()?;
    let publish = request.params.present("publish").ok_or(ApiError::MissingPublish)?;
    let publish = publish.trim().eq_ignore_ascii_case("true");
    let mut found = false;
    for id in &ids {
        found |= recordings.publish(id, publish).await?;
    }
    if !found {
        return Err(ApiError::RecordingNotFound);
    }
    Ok(format!("<response><returncode>SUCCESS</returncode><published>{publish}</published></response>")
        .into())
}
