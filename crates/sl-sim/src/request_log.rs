//! The last requests of one server.

use std::collections::VecDeque;

use bytes::Bytes;
use hyper::http::request::Parts;
use serde::Serialize;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RawRequest {
    /// Its number on this server, from 1.
    pub number: u64,
    /// The method.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl RawRequest {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query as it came, without the question mark.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// How many requests are kept.
const KEPT: usize = 100;

/// The last requests, kept as hyper gave them: turned into text only when asked.
#[derive(Default)]
pub(crate) struct Recent {
    kept: VecDeque<(Parts, Bytes)>,
    seen: u64,
}

impl Recent {
    pub(crate) fn add(&mut self, parts: Parts, body: Bytes) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((parts, body));
        self.seen += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Oldest first.
    pub(crate) fn list(&self) -> Vec<RawRequest> {
        let first = self.seen - self.kept.len() as u64 + 1;
        self.kept
            .iter()
            .zip(first..)
            .map(|((parts, body), number)| RawRequest {
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
