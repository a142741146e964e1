//! Callbacks to clients: a client gives a URL with create, and is called there once the recording is ready.
//!
//! ```text
//! create            params.rs       removes the URL from the parameters
//!                   outbox.rs       stores it in Redis, from where it is moved to Postgres
//!                   ready_urls.rs   its table there, by internal meeting id
//! import            ready_urls.rs   creates the callback, in the import's transaction
//! every process     table.rs        the callbacks: claims those that are due, records outcomes
//!                   deliver.rs      the loop that does so
//!                   client.rs       one attempt: the signed form, the response, redirects
//!                   net/public_connector.rs  resolves the host, checks all of its addresses, connects to one
//! ```
//!
//! Clients choose where callbacks go, so every target counts as hostile: see [`crate::net::public_address`].

pub mod client;
pub mod deliver;
pub mod outbox;
pub mod params;
pub mod ready_urls;
pub mod table;

pub use deliver::run;

/// The scheme, host and port of a URL, for logs and output: the rest may be a secret.
pub fn url_origin(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => "invalid URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::url_origin;

    #[test]
    fn url_origin_hides_secrets() {
        assert_eq!(url_origin("https://a:b@e.org:8443/x/y?token=c#d"), "https://e.org:8443");
        assert_eq!(url_origin("http://e.org"), "http://e.org");
        for url in ["", "x", "mailto:a@e.org", "javascript:alert(1)", "http://"] {
            assert_eq!(url_origin(url), "invalid URL", "{url}");
        }
    }
}
