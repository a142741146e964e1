//! updateRecordings: metadata and protection.

use super::MAX_RECORD_IDS;
use crate::app::App;
use crate::bbb::{ApiError, Params};
use crate::calls::{ApiRequest, CallResult};
use crate::recordings::index::RecordingUpdate;
use std::collections::BTreeMap;

/// Limit of the keys that one request changes (this project's decision): each is a row of every recording.
const MAX_METADATA_KEYS: usize = 1000;

/// Takes recordID, a list; `meta_` parameters, where an empty value removes the key; protect. Changes all
/// recordings or none: with an unknown id, nothing is changed and `updated` is false.
pub(in crate::calls) async fn update_recordings(app: &App, request: ApiRequest) -> CallResult {
    let index = &app.recordings()?.index;
    let ids = request.record_ids()?;
    if ids.len() > MAX_RECORD_IDS {
        return Err(ApiError::TooManyRecordIds(MAX_RECORD_IDS));
    }
    let update = parse_update(&request.params)?;
    let updated = index.update(&ids, &update).await?;
    Ok(format!("<response><returncode>SUCCESS</returncode><updated>{updated}</updated></response>").into())
}

/// Takes time in proportion to the number of parameters: there may be hundreds of thousands.
fn parse_update(params: &Params) -> Result<RecordingUpdate, ApiError> {
    // Spellings of a key that differ in case are one key; the last one wins.
    let mut keys = BTreeMap::new();
    for (name, value) in params.iter() {
        let Some(key) = name.strip_prefix("meta_").filter(|key| !key.is_empty()) else { continue };
        keys.insert(key.to_lowercase(), value.unwrap_or_default());
        if keys.len() > MAX_METADATA_KEYS {
            return Err(ApiError::TooManyMetadataKeys(MAX_METADATA_KEYS));
        }
    }
    let mut update = RecordingUpdate::default();
    for (key, value) in keys {
        match value {
            "" => update.remove.push(key),
            value => update.set.push((key, value.to_owned())),
        }
    }
    update.protect = match params.present("protect").map(|text| text.trim().to_ascii_lowercase()) {
        Some(text) if text == "true" => Some(true),
        Some(text) if text == "false" => Some(false),
        _ => None,
    };
    Ok(update)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_spelling_of_a_key_wins() {
        let params =
            Params::parse("meta_a=1&meta_B=2&meta_A=3&meta_b=&meta_=4&meta_%C3%84=5&meta_%C3%A4=6").unwrap();
        let update = parse_update(&params).unwrap();
        assert_eq!(update.set, [("a".to_owned(), "3".to_owned()), ("ä".to_owned(), "6".to_owned())]);
        assert_eq!(update.remove, ["b"]);
    }

    #[test]
    fn metadata_keys_are_limited() {
        let with = |keys: usize| parse_update(&(0..keys).map(|n| (format!("meta_k{n}"), "1")).collect());
        assert_eq!(with(MAX_METADATA_KEYS).unwrap().set.len(), MAX_METADATA_KEYS);
        // In quadratic time this would take minutes.
        assert_eq!(with(400_000), Err(ApiError::TooManyMetadataKeys(MAX_METADATA_KEYS)));
        let parameters = (0..400_000).map(|n| (format!("x{n}"), "1"));
        assert_eq!(parse_update(&parameters.collect()), Ok(RecordingUpdate::default()));
    }
}
