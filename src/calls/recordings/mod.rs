//! The calls on recordings.

mod delete;
mod get;
mod publish;
mod text_tracks;
mod update;
mod xml;

pub(super) use delete::delete_recordings;
pub(super) use get::get_recordings;
pub(super) use publish::publish_recordings;
pub(super) use text_tracks::{get_text_tracks, put_text_track};
pub(super) use update::update_recordings;

use super::{ApiRequest, App};
use crate::bbb::{ApiError, Params};
use crate::db::DbError;
use crate::recordings::{ChangeError, RecordId, Recordings};
use crate::telemetry::permit_log;

/// Recordings that one call changes: each is a change of its own, of files and index.
const MAX_RECORD_IDS: usize = 1000;

impl App {
    /// The recordings. In a pool without any, calls that name one respond with notFound.
    fn recordings(&self) -> Result<&Recordings, ApiError> {
        self.recordings.as_ref().ok_or(ApiError::RecordingNotFound)
    }
}

impl ApiRequest {
    /// recordID, a list, which all calls but getRecordings require.
    fn record_ids(&self) -> Result<Vec<String>, ApiError> {
        comma_list(&self.params, "recordID").ok_or(ApiError::MissingRecordId)
    }

    /// The valid record ids among them, sorted, without duplicates; at most [`MAX_RECORD_IDS`].
    fn distinct_record_ids(&self) -> Result<Vec<RecordId>, ApiError> {
        let mut ids: Vec<RecordId> = self.record_ids()?.iter().filter_map(|id| RecordId::parse(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > MAX_RECORD_IDS {
            return Err(ApiError::TooManyRecordIds(MAX_RECORD_IDS));
        }
        Ok(ids)
    }
}

/// A comma-separated parameter, without empty items. None if it is absent or blank.
fn comma_list(params: &Params, name: &str) -> Option<Vec<String>> {
    let text = params.present(name)?;
    Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

impl From<DbError> for ApiError {
    fn from(failure: DbError) -> ApiError {
        if let Some(permit) = permit_log("Postgres", "") {
            let suppressed = permit.suppressed;
            tracing::error!(%failure, suppressed, "recordings index unavailable for a request");
        }
        ApiError::IndexUnavailable
    }
}

impl From<ChangeError> for ApiError {
    fn from(failure: ChangeError) -> ApiError {
        match failure {
            ChangeError::Index(failure) => failure.into(),
            ChangeError::Storage(failure) => {
                if let Some(permit) = permit_log("files of recordings", "") {
                    let suppressed = permit.suppressed;
                    tracing::error!(%failure, suppressed, "recording files unavailable for a request");
                }
                ApiError::FilesUnavailable
            }
            ChangeError::FilesMissing(id) => {
                tracing::error!(
                    record_id = id.as_str(),
                    "a recording of the index has no files on either shelf"
                );
                ApiError::FilesMissing
            }
        }
    }
}
