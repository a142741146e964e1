//! The call without a name: the version of the API. Unsigned.

use super::CallResponse;
use crate::app::App;
use crate::bbb::xml_writer;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::json;

/// Returns `version` and `apiVersion` 2.0, `bbbVersion` if every server that is online reports one, and `build` when
/// BUILD_NUMBER is set.
pub(super) async fn index(app: &App) -> CallResponse {
    let version = app.pool_version.least().await;
    let bbb_version = match version.as_str() {
        "" => String::new(),
        version => format!("<bbbVersion>{}</bbbVersion>", xml_writer::escape(version)),
    };
    let build = match &app.config.api.build_number {
        Some(build) => format!("<build>{}</build>", xml_writer::escape(build)),
        None => String::new(),
    };
    CallResponse::from(format!(
        "<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>{bbb_version}{build}</response>"
    ))
}

/// The same in JSON. bbbVersion is empty where it is not known, as on a server that hides it.
pub async fn index_as_json(app: &App) -> CallResponse {
    let mut response = json!({
        "returncode": "SUCCESS",
        "version": "2.0",
        "apiVersion": "2.0",
        "bbbVersion": app.pool_version.least().await,
    });
    if let Some(build) = &app.config.api.build_number {
        response["build"] = build.as_str().into();
    }
    CallResponse::Json(json!({ "response": response }))
}

/// Whether a request for the index gets JSON: BBB 3.0 looks at the content type of the request, not at Accept.
pub fn is_json_wanted(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let media_type = value.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("application/json")
    })
}
