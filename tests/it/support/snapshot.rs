//! Whole responses as snapshots: status, the headers that clients read, body.

use super::Reply;

/// The text of a response for snapshots.
pub fn render(reply: &Reply) -> String {
    format!("{}\n{}", render_head(reply), reply.body)
}

/// The part of [`render`] before the body.
pub fn render_head(reply: &Reply) -> String {
    let mut text = format!("{}\n", reply.status);
    for name in ["content-type", "cache-control", "location"] {
        if let Some(value) = reply.header(name) {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

/// The head of a successful XML response.
pub fn xml() -> String {
    "200\ncontent-type: text/xml; charset=utf-8\n".to_owned()
}

/// The head of a successful JSON response.
pub fn json() -> String {
    "200\ncontent-type: application/json; charset=utf-8\n".to_owned()
}

/// Replacements for what differs from run to run: times, ids, tokens, checksums, ports.
pub const FILTERS: [(&str, &str); 8] = [
    (r"127\.0\.0\.1:\d+", "[server]"),
    (r"checksum=[0-9a-f]{64}\b", "checksum=[sha256]"),
    (r"\b1\d{12}\b", "[ms]"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}", "[date]"),
    (r"\bw_[0-9a-z]{12}\b", "[user]"),
    (r"<(auth_token|session_token)>[0-9a-z]+<", "<$1>[token]<"),
    (r"<sl-mark>[0-9a-f]{32}<", "<sl-mark>[mark]<"),
    (r"sessionToken=[0-9a-z]+", "sessionToken=[token]"),
];

/// Compares a response with its snapshot: `assert_response!(reply)` with a file, which is named after the test, with a
/// number if it has several (INSTA_UPDATE=always writes them); `assert_response!(reply, xml @"BODY")`, or `json`,
/// with status 200, the content type, no other header of [`render`], and this body.
#[macro_export]
macro_rules! assert_response {
    ($reply:expr) => {
        ::insta::with_settings!(
            { filters => $crate::support::snapshot::FILTERS.to_vec(), omit_expression => true },
            { ::insta::assert_snapshot!($crate::support::snapshot::render(&$reply)) }
        )
    };
    ($reply:expr, $kind:ident @$body:literal) => {{
        let reply = &$reply;
        assert_eq!(
            $crate::support::snapshot::render_head(reply),
            $crate::support::snapshot::$kind(),
            "{reply:#?}"
        );
        // The test may check several responses against it, in a loop.
        ::insta::allow_duplicates! {
            ::insta::with_settings!(
                { filters => $crate::support::snapshot::FILTERS.to_vec(), omit_expression => true },
                { ::insta::assert_snapshot!(reply.body, @$body) }
            )
        }
    }};
}
