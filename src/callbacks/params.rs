//! The URL that a client wants to be called at when the recording of a meeting is ready.

use super::outbox;
use super::ready_urls::ReadyUrl;
use crate::app::App;
use crate::bbb::{Params, xml_reader};
use crate::store::MeetingKey;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::warn;

/// Under these names, the first of them before the others. BBB servers must not see them: they would call
/// before the recording is here.
const NAMES: [&str; 3] =
    ["meta_bn-recording-ready-url", "meta_bbb-recording-ready-url", "meta_canvas-recording-ready-url"];

/// Longer ones are no use to anybody.
const LONGEST: usize = 4096;

/// Takes the URL out of a create's parameters, under all of its names.
pub fn take(params: &mut Params) -> Option<String> {
    let given = NAMES.map(|name| params.remove(name));
    given.into_iter().flatten().map(|url| url.trim().to_owned()).find(|url| !url.is_empty())
}

/// Keeps it, for the meeting that a server says it has. A pool without recordings has nothing to announce.
pub async fn remember(app: &App, meeting: &MeetingKey, url: &str, answer: &[u8]) {
    let Some(recordings) = &app.recordings else { return };
    if url.len() > LONGEST || url.contains(char::is_control) {
        warn!(meeting = meeting.as_str(), "a recording-ready URL is too long, or none: ignored");
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let noted = ReadyUrl {
        meeting_id: meeting.as_str().to_owned(),
        internal_meeting_id: xml_reader::read_field(answer, "internalMeetingID").filter(|id| !id.is_empty()),
        url: url.to_owned(),
        at_ms: now.as_millis() as i64,
    };
    outbox::keep(&app.store, recordings.index.db(), noted).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_counts_and_all_go() {
        for (query, url, left) in [
            (
                "a=1&meta_canvas-recording-ready-url=c&meta_bbb-recording-ready-url=b&meta_bn-recording-ready-url=n",
                Some("n"),
                "a=1",
            ),
            ("meta_canvas-recording-ready-url=c&b=2&meta_bbb-recording-ready-url=b", Some("b"), "b=2"),
            ("meta_bn-recording-ready-url=+&meta_canvas-recording-ready-url=%20c", Some("c"), ""),
            ("meta_bn-recording-ready-url&meta_other-url=d", None, "meta_other-url=d"),
            ("a=1", None, "a=1"),
        ] {
            let mut params = Params::parse(query).unwrap();
            assert_eq!((take(&mut params).as_deref(), params.encode().as_str()), (url, left), "{query}");
        }
    }
}
