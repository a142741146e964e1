//! The recording-ready URL in a create's parameters.

use super::outbox;
use super::ready_urls::ReadyUrl;
use crate::bbb::{Params, xml_reader};
use crate::db::Database;
use crate::store::{MeetingKey, Store};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::warn;

/// Parameters that carry the URL, in order of precedence. BBB servers must not see them: they would call
/// before the recording is imported.
const URL_PARAMS: [&str; 3] =
    ["meta_bn-recording-ready-url", "meta_bbb-recording-ready-url", "meta_canvas-recording-ready-url"];

/// Longer URLs are ignored.
const MAX_URL_BYTES: usize = 4096;

/// Removes the URL from a create's parameters, under all of its names.
pub fn take_ready_url(params: &mut Params) -> Option<String> {
    let given = URL_PARAMS.map(|name| params.remove(name));
    given.into_iter().flatten().map(|url| url.trim().to_owned()).find(|url| !url.is_empty())
}

/// Stores the URL for the meeting in a server's response to create.
pub async fn store_ready_url(
    store: &Store,
    db: &Database,
    meeting: &MeetingKey,
    url: &str,
    create_response: &[u8],
) {
    if url.len() > MAX_URL_BYTES || url.contains(char::is_control) {
        warn!(meeting = meeting.as_str(), "ignoring a recording-ready URL that is too long or invalid");
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ready_url = ReadyUrl {
        meeting_id: meeting.as_str().to_owned(),
        internal_meeting_id: xml_reader::read_field(create_response, "internalMeetingID")
            .filter(|id| !id.is_empty()),
        url: url.to_owned(),
        at_ms: now.as_millis() as i64,
    };
    outbox::enqueue(store, db, ready_url).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_ready_url_removes_all_names_and_returns_the_first() {
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
            assert_eq!(
                (take_ready_url(&mut params).as_deref(), params.encode().as_str()),
                (url, left),
                "{query}"
            );
        }
    }
}
