//! getRecordingTextTracks, putRecordingTextTrack. Their responses are JSON, including errors.

use crate::app::App;
use crate::bbb::ApiError;
use crate::calls::{ApiRequest, CallResponse, CallResult};
use crate::recordings::RecordId;
use crate::recordings::text_tracks::{
    BadTrack, Language, PutTrackOutcome, TextTrack, TrackKind, TrackSource, to_webvtt,
};
use serde_json::json;

/// Longer labels are cut.
const MAX_LABEL_CHARS: usize = 200;

/// Takes recordID. Returns the tracks that captions.json lists, whether the recording is published or not.
pub(in crate::calls) async fn get_text_tracks(app: &App, request: ApiRequest) -> CallResult {
    let given = request.params.present("recordID").ok_or(ApiError::MissingTrackParam("recordID"))?;
    let unknown = || ApiError::NoSuchRecording(shortened(given));
    let id = RecordId::parse(given.trim()).ok_or_else(unknown)?;
    let recordings = app.recordings()?;
    let tracks = recordings.text_tracks(&id).await?.ok_or_else(unknown)?;
    if tracks.is_empty() {
        return Err(ApiError::NoCaptions(shortened(given)));
    }
    let base_url = app.config.playback.base_url(request.base_url.clone());
    let tracks: Vec<_> = tracks
        .iter()
        .map(|track| {
            json!({
                "href": format!("{base_url}/presentation/{id}/{}", track.language.file_name()),
                "kind": track.kind.as_str(),
                "label": track.label,
                "lang": track.language.as_str(),
                "source": track.source.as_str(),
            })
        })
        .collect();
    Ok(CallResponse::Json(json!({ "response": { "returncode": "SUCCESS", "tracks": tracks } })))
}

/// Takes recordID, kind, lang, label and, as multipart/form-data, file: SRT or WebVTT in UTF-8.
pub(in crate::calls) async fn put_text_track(app: &App, request: ApiRequest) -> CallResult {
    let present = |name: &'static str| request.params.present(name).ok_or(ApiError::MissingTrackParam(name));
    let (given, kind, lang) = (present("recordID")?, present("kind")?, present("lang")?);
    let unknown = || ApiError::NoSuchRecording(shortened(given));
    let kind = TrackKind::parse(kind.trim()).ok_or_else(|| ApiError::InvalidKind(shortened(kind)))?;
    let language = Language::parse(lang.trim()).ok_or_else(|| ApiError::InvalidLang(shortened(lang)))?;
    let id = RecordId::parse(given.trim()).ok_or_else(unknown)?;
    let recordings = app.recordings()?;
    let webvtt = to_webvtt(request.file.as_deref().unwrap_or_default()).map_err(|bad| match bad {
        BadTrack::Empty => ApiError::EmptyTrack,
        bad => ApiError::BadTrack(bad.to_string()),
    })?;
    let label: String =
        request.params.get("label").unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    let label = match label.trim() {
        "" => language.as_str().to_owned(),
        label => label.chars().take(MAX_LABEL_CHARS).collect(),
    };
    let track = TextTrack { label, language, kind, source: TrackSource::Upload };
    match recordings.put_text_track(&id, track, webvtt).await? {
        PutTrackOutcome::Stored => Ok(CallResponse::Json(json!({ "response": {
            "returncode": "SUCCESS",
            "recordId": id.as_str(),
            "messageKey": "upload_text_track_success",
            "message": "Text track uploaded successfully",
        } }))),
        PutTrackOutcome::RecordingNotFound => Err(unknown()),
        PutTrackOutcome::Rejected => {
            Err(ApiError::BadTrack("the recording has no presentation to show it with".into()))
        }
    }
}

/// A client's parameter, shortened for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}
