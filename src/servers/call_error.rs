//! Why a call to a BBB server has no usable response.

use crate::bbb::xml_reader::XmlError;
use std::time::Duration;

/// Why a call has no response that can be used. The texts contain nothing that was signed.
#[derive(Debug, thiserror::Error)]
pub enum ServerCallError {
    /// No connection: the request was not sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was, or may have been, sent.
    #[error("no response: {0}")]
    Broken(String),
    /// No response within the timeout; the server may have processed the request.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// HTTP status 500 or above.
    #[error("status {0}")]
    Status(u16),
    /// A page for browsers, with this HTTP status: from a proxy, or because the URL is wrong.
    #[error("answered an HTML page with HTTP {0}")]
    Html(u16),
    /// Larger than MAX_ANSWER_SIZE, or than what a call can return that lists nothing.
    #[error("the response is larger than {0} bytes (MAX_ANSWER_SIZE)")]
    TooLarge(usize),
    /// A list of meetings that is longer than a server may make it.
    #[error("it lists {listed} meetings, more than {max} (MAX_MEETINGS_PER_SERVER)")]
    TooManyMeetings {
        /// How many it lists, about.
        listed: usize,
        /// How many it may list.
        max: usize,
    },
    /// A BBB response that ended too early, after this many bytes.
    #[error("the response was cut off after {0} bytes")]
    CutOff(usize),
    /// returncode FAILED where a call that cannot fail was made.
    #[error("answered FAILED with {}", describe_refusal(key, message))]
    Refused {
        /// messageKey; empty if absent.
        key: String,
        /// message.
        message: String,
    },
    /// Not a BBB response, or a hostile one.
    #[error("{0}")]
    NotBbb(XmlError),
    /// The server's URL in Redis is invalid, or the request is too long for a URL.
    #[error("the server's URL is invalid, or the request is too long for a URL")]
    Url,
    /// As many calls wait for the server as may; this one was not sent.
    #[error("too many calls wait for this server (MAX_CALLS_PER_SERVER)")]
    Busy,
}

fn describe_refusal(key: &str, message: &str) -> String {
    match key {
        "checksumError" => {
            "checksumError: check the server's secret (`bbb-conf --secret` on the server), then \
             `sl servers update ID --secret …`"
                .into()
        }
        "" => format!("the message \"{message}\""),
        _ => format!("{key} ({message})"),
    }
}

impl ServerCallError {
    /// The error of a response of `length` bytes that could not be read.
    pub fn of_response(error: XmlError, length: usize) -> ServerCallError {
        match error {
            XmlError::CutOff => ServerCallError::CutOff(length),
            XmlError::Failed { key, message } => ServerCallError::Refused { key, message },
            XmlError::Malformed(_) | XmlError::MissingReturncode | XmlError::Hostile(_) => {
                ServerCallError::NotBbb(error)
            }
        }
    }

    /// The kind of failure: one outage has one kind, whatever its texts say.
    pub fn kind(&self) -> &'static str {
        match self {
            ServerCallError::Connect(_) => "connect",
            ServerCallError::Broken(_) => "broken",
            ServerCallError::Timeout(_) => "timeout",
            ServerCallError::Status(_) => "status",
            ServerCallError::Html(_) => "HTML",
            ServerCallError::TooLarge(_) => "too large",
            ServerCallError::TooManyMeetings { .. } => "too many meetings",
            ServerCallError::CutOff(_) => "cut off",
            ServerCallError::Refused { .. } => "refused",
            ServerCallError::NotBbb(XmlError::MissingReturncode) => "no returncode",
            ServerCallError::NotBbb(_) => "not BBB",
            ServerCallError::Url => "URL",
            ServerCallError::Busy => "busy",
        }
    }

    /// True if the server cannot have processed the request.
    pub fn never_sent(&self) -> bool {
        match self {
            ServerCallError::Connect(_) | ServerCallError::Url | ServerCallError::Busy => true,
            ServerCallError::Broken(_)
            | ServerCallError::Timeout(_)
            | ServerCallError::Status(_)
            | ServerCallError::Html(_)
            | ServerCallError::TooLarge(_)
            | ServerCallError::TooManyMeetings { .. }
            | ServerCallError::CutOff(_)
            | ServerCallError::Refused { .. }
            | ServerCallError::NotBbb(_) => false,
        }
    }

    /// True if the server did respond, with what cannot be used: it is alive.
    pub fn is_unreadable_response(&self) -> bool {
        matches!(
            self,
            ServerCallError::CutOff(_)
                | ServerCallError::TooLarge(_)
                | ServerCallError::TooManyMeetings { .. }
                | ServerCallError::NotBbb(XmlError::Hostile(_))
        )
    }

    /// True if the cause is the server's health, rather than this one request.
    pub fn counts_against_server(&self) -> bool {
        !matches!(self, ServerCallError::Url | ServerCallError::Busy) && !self.is_unreadable_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_secret_says_what_to_do() {
        let refused = |key: &str| {
            let error = XmlError::Failed { key: key.into(), message: "Why".into() };
            ServerCallError::of_response(error, 100).to_string()
        };
        assert_eq!(
            refused("checksumError"),
            "answered FAILED with checksumError: check the server's secret (`bbb-conf --secret` on the server), \
             then `sl servers update ID --secret …`"
        );
        assert_eq!(refused("other"), "answered FAILED with other (Why)");
        assert_eq!(refused(""), "answered FAILED with the message \"Why\"");
    }

    #[test]
    fn unreadable_responses_do_not_count_against_their_server() {
        for unreadable in [
            ServerCallError::CutOff(1),
            ServerCallError::TooLarge(1),
            ServerCallError::of_response(XmlError::Hostile("DOCTYPE"), 1),
        ] {
            assert!(unreadable.is_unreadable_response() && !unreadable.counts_against_server());
        }
        for failure in [
            ServerCallError::Html(200),
            ServerCallError::Status(500),
            ServerCallError::Broken(String::new()),
            ServerCallError::of_response(XmlError::MissingReturncode, 1),
        ] {
            assert!(!failure.is_unreadable_response() && failure.counts_against_server());
        }
    }
}
