//! updateRecordings: metadata and protection.

use crate::app::App;
use crate::calls::{ApiRequest, CallResult};
use crate::recordings::index::RecordingUpdate;

/// Takes recordID, a list; `meta_` parameters, where an empty value removes the key; protect. Changes all
/// recordings or none: with an unknown id, nothing is changed and `updated` is false.
pub(in crate::calls) async fn update_recordings(app: &App, request: ApiRequest) -> CallResult {
    let index = &app.recordings()?.index;
    let ids = request.record_ids()?;
    let mut update = RecordingUpdate::default();
    for (name, value) in request.params.iter() {
        let Some(key) = name.strip_prefix("meta_").map(str::to_lowercase).filter(|key| !key.is_empty())
        else {
            continue;
        };
        // Spellings of a key that differ in case are one key; the last one wins.
        update.set.retain(|(other, _)| *other != key);
        update.remove.retain(|other| *other != key);
        match value {
            Some(value) if !value.is_empty() => update.set.push((key, value.to_owned())),
            _ => update.remove.push(key),
        }
    }
    update.protect = match request.params.present("protect").map(|text| text.trim().to_ascii_lowercase()) {
        Some(text) if text == "true" => Some(true),
        Some(text) if text == "false" => Some(false),
        _ => None,
    };
    let updated = index.update(&ids, &update).await?;
    Ok(format!("<response><returncode>SUCCESS</returncode><updated>{updated}</updated></response>").into())
}
