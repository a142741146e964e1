//! Callbacks to clients: what they asked to be told, delivered once and for all.
//!
//! ```text
//! create            outbox.rs       the URL that came along waits in Redis, and goes on to Postgres
//! import            ready_urls.rs   puts the callback up, in the import's own transaction
//! every process     deliver.rs      takes in hand what is due, tries, writes what came of it
//!                   client.rs       one try: the signed form, the answer, redirects
//!                   net/public_connector.rs  resolves, looks at every address, connects to those and no others
//! ```
//!
//! Clients choose where callbacks go, so a target counts as hostile: see [`crate::net::public_address`].

pub mod client;
pub mod deliver;
pub mod outbox;
pub mod params;
pub mod ready_urls;
pub mod table;

pub use deliver::run;

/// What of a URL may be shown: its scheme, host and port. The rest may be a secret.
pub fn shown(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => "no URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn secrets_in_urls_are_not_shown() {
        assert_eq!(shown("https://a:b@e.org:8443/x/y?token=c#d"), "https://e.org:8443");
        assert_eq!(shown("http://e.org"), "http://e.org");
        for url in ["", "x", "mailto:a@e.org", "javascript:alert(1)", "http://"] {
            assert_eq!(shown(url), "no URL", "{url}");
        }
    }
}
