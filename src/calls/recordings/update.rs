//! updateRecordings: metadata and protection.

use crate::app::App;
use crate::calls::{ApiRequest, CallResult};
use crate::recordings::index::Update;

/// Takes recordID, a list; `meta_` parameters, of which an empty value takes the key away; protect.
/// All recordings are changed or none: an id that is no recording makes `updated` false.
pub(in crate::calls) async fn update_recordings(app: &App, request: ApiRequest) -> CallResult {
    let ids = request.record_ids()?;
    let index = &app.recordings()?.index;
    let mut update = Update::default();
    for (name, value) in request.params.iter() {
        let Some(key) = name.strip_prefix("meta_").map(str::to_lowercase).filter(|key| !key.is_empty())
        else {
            continue;
        };
        // Two spellings of one key: the last one counts.
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
