//! Whole responses as snapshots: status, the headers that clients read, body.

use super::Reply;

/// The text of a response for snapshots.
pub fn render(reply: &Reply) -> String {
    let mut text = format!("{}\n", reply.status);
    for name in ["content-type", "cache-control", "location"] {
        if let Some(value) = reply.header(name) {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    format!("{text}\n{}", reply.body)
}

/// Replacements for what differs from run to run: times, ids, tokens, checksums, ports.
pub const FILTERS: [(&str, &str); 7] = [
    (r"127\.0\.0\.1:\d+", "[server]"),
    (r"checksum=[0-9a-f]{64}\b", "checksum=[sha256]"),
    (r"\b1\d{12}\b", "[ms]"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}", "[date]"),
    (r"\bw_[0-9a-z]{12}\b", "[user]"),
    (r"<(auth_token|session_token)>[0-9a-z]+<", "<$1>[token]<"),
    (r"sessionToken=[0-9a-z]+", "sessionToken=[token]"),
];

/// Compares a response with its snapshot, which is named after the test, with a number if it has several.
/// INSTA_UPDATE=always writes them.
#[macro_export]
macro_rules! assert_response {
    ($reply:expr) => {
        ::insta::with_settings!(
            { filters => $crate::support::snapshot::FILTERS.to_vec(), omit_expression => true },
            { ::insta::assert_snapshot!($crate::support::snapshot::render(&$reply)) }
        )
    };
}
