//! Records the last requests of one server.

use std::collections::VecDeque;

use bytes::Bytes;
use hyper::http::request::Parts;
use serde::Serialize;

/// A request as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedRequest {
    /// Its number on this server, from 1.
    pub number: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// Headers in the order received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; invalid UTF-8 is replaced.
    pub body: String,
}

impl RecordedRequest {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query byte for byte, without the question mark.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

const MAX_RECORDED_REQUESTS: usize = 100;

/// The last requests, stored as hyper parsed them and converted to text only when listed.
#[derive(Default)]
pub(crate) struct RequestLog {
    requests: VecDeque<(Parts, Bytes)>,
    total: u64,
}

impl RequestLog {
    pub(crate) fn add(&mut self, parts: Parts, body: Bytes) {
        if self.requests.len() == MAX_RECORDED_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back((parts, body));
        self.total += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<RecordedRequest> {
        let first = self.total - self.requests.len() as u64 + 1;
        self.requests
            .iter()
            .zip(first..)
            .map(|((parts, body), number)| RecordedRequest {
                number,
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                headers: parts
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                        (name.to_string(), value)
                    })
                    .collect(),
                body: String::from_utf8_lossy(body).into_owned(),
            })
            .collect()
    }
}
