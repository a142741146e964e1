//! The calls on recordings, of the same shape as the others.

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

impl App {
    /// The recordings; where there are none, the answer of the calls that name one.
    fn recordings(&self) -> Result<&Recordings, ApiError> {
        self.recordings.as_ref().ok_or(ApiError::RecordingNotFound)
    }
}

impl ApiRequest {
    /// recordID, a list, which all calls but getRecordings require.
    fn record_ids(&self) -> Result<Vec<String>, ApiError> {
        list(&self.params, "recordID").ok_or(ApiError::MissingRecordId)
    }

    /// The same, without what cannot be one, and each once.
    fn distinct_records(&self) -> Result<Vec<RecordId>, ApiError> {
        let mut ids: Vec<RecordId> = self.record_ids()?.iter().filter_map(|id| RecordId::parse(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// A comma list; None where it is absent or blank.
fn list(params: &Params, name: &str) -> Option<Vec<String>> {
    let text = params.present(name)?;
    Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

impl From<DbError> for ApiError {
    fn from(failure: DbError) -> ApiError {
        tracing::error!(%failure, "a request needs the index of recordings");
        ApiError::IndexUnavailable
    }
}

impl From<ChangeError> for ApiError {
    fn from(failure: ChangeError) -> ApiError {
        match failure {
            ChangeError::Index(failure) => failure.into(),
            ChangeError::Storage(failure) => {
                tracing::error!(%failure, "a request needs the files of a recording");
                ApiError::FilesUnavailable
            }
            ChangeError::FilesMissing(id) => {
                tracing::error!(
                    record_id = id.as_str(),
                    "a recording is in the index, but its files are nowhere"
                );
                ApiError::FilesMissing
            }
        }
    }
}
