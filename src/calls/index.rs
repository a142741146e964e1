//! The call without a name: the version of the API. Unsigned.

use super::CallResponse;
use crate::app::App;
use crate::bbb::xml_writer;

/// Returns `version` and `apiVersion` 2.0, and `build` when BUILD_NUMBER is set.
pub(super) fn index(app: &App) -> CallResponse {
    let build = match &app.config.api.build_number {
        Some(build) => format!("<build>{}</build>", xml_writer::escape(build)),
        None => String::new(),
    };
    CallResponse::from(format!(
        "<response><returncode>SUCCESS</returncode><version>2.0</version><apiVersion>2.0</apiVersion>{build}</response>"
    ))
}
