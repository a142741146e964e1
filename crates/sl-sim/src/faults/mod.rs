//! What can be made to go wrong, and when.

pub(crate) mod bodies;
pub(crate) mod inject;
mod socket;

use std::io;

use serde::{Deserialize, Serialize};

/// A fault on one server: what happens, to which calls, how often.
///
/// As JSON (for the control door) the kind and its numbers stand beside the
/// limits: `{"kind":"slow","ms":500,"calls":["create"],"times":3}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Only these calls (`create`, `hooks/create`, `index` …); empty: every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// Only the next so many matching requests; then the fault is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Milliseconds to wait before the fault shows.
    #[serde(default)]
    pub delay_ms: u64,
}

impl Fault {
    /// This kind of fault, on every call, until cleared.
    pub fn new(kind: FaultKind) -> Fault {
        Fault { kind, calls: Vec::new(), times: None, delay_ms: 0 }
    }

    /// Only on these calls.
    #[must_use]
    pub fn on<S: Into<String>>(mut self, calls: impl IntoIterator<Item = S>) -> Fault {
        self.calls = calls.into_iter().map(Into::into).collect();
        self
    }

    /// Only for the next `times` matching requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    /// Shows only after so many milliseconds.
    #[must_use]
    pub fn after_ms(mut self, ms: u64) -> Fault {
        self.delay_ms = ms;
        self
    }

    fn hits(&self, call: &str) -> bool {
        self.kind == FaultKind::Refuse || self.calls.is_empty() || self.calls.iter().any(|c| c == call)
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Fault {
        Fault::new(kind)
    }
}

/// The ways a server can misbehave. Unless it says so, the call's work is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The work is done at once, the right answer comes after `ms` milliseconds.
    Slow {
        /// Milliseconds until the answer.
        ms: u64,
    },
    /// The listening sockets are closed and open connections dropped: connecting
    /// is refused until the fault is cleared, then the same port answers again.
    /// Limits (`calls`, `times`, `delay_ms`) have no meaning here.
    Refuse,
    /// Reads the request, then resets the connection (RST).
    Reset,
    /// Does the work, then resets the connection: the answer is lost.
    ResetAfter,
    /// Reads the request and never answers.
    Hang,
    /// Does the work and never answers.
    HangAfter,
    /// FAILED, because the server has as many meetings as it takes.
    Full,
    /// FAILED with a key and a message of your choice.
    Failed {
        /// The messageKey.
        message_key: String,
        /// The message.
        message: String,
    },
    /// 200 with bytes that are neither XML nor UTF-8.
    Garbage,
    /// 200 with an HTML page, as a proxy or a captive portal would.
    NotXmlHtml,
    /// Well-formed XML without a returncode.
    NoReturncode,
    /// This HTTP status, with an HTML page.
    Status {
        /// The status: 404, 500, 502 …
        code: u16,
    },
    /// XML whose one text element is this long, made while it is sent, chunked.
    Huge {
        /// How many bytes; 0 never ends.
        bytes: u64,
    },
    /// A status line, and then headers without end.
    EndlessHeaders,
    /// XML nested this deeply.
    DeepXml {
        /// How many elements within each other.
        #[serde(default = "default_depth")]
        depth: u32,
    },
    /// A DOCTYPE with entities that expand to gigabytes.
    Entities,
    /// Does the work, announces the whole answer, sends half of it and closes.
    Truncated,
    /// Does the work and sends the whole answer under this Content-Length:
    /// something that is no number, or a number that is not the length.
    BadLength {
        /// The header's value, as it is.
        #[serde(default = "default_length")]
        value: String,
    },
    /// checksumError, as if the secret had been changed on the server.
    WrongChecksum,
    /// FAILED notFound, whatever was asked.
    Forget,
}

fn default_depth() -> u32 {
    100_000
}

fn default_length() -> String {
    "twelve".into()
}

/// The faults set on one server; the first that matches a request is used.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The fault for a request to `call`, used up by one.
    pub(crate) fn take(&mut self, call: &str) -> Option<Fault> {
        let at = self.0.iter().position(|fault| fault.hits(call))?;
        let fault = &mut self.0[at];
        let taken = fault.clone();
        if let Some(times) = &mut fault.times
            && fault.kind != FaultKind::Refuse
        {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(taken)
    }

    /// Whether the server has to refuse connections.
    pub(crate) fn refusing(&self) -> bool {
        self.0.iter().any(|f| f.kind == FaultKind::Refuse)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a [`Fault`] from JSON.
pub(crate) fn from_json(json: &[u8]) -> io::Result<Fault> {
    serde_json::from_slice(json).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_are_the_documented_ones() {
        let fault = from_json(br#"{"kind":"slow","ms":5,"calls":["create"],"times":2}"#).unwrap();
        assert_eq!(fault, Fault::new(FaultKind::Slow { ms: 5 }).on(["create"]).times(2));
        for kind in [
            "refuse",
            "reset",
            "reset_after",
            "hang",
            "hang_after",
            "full",
            "garbage",
            "not_xml_html",
            "no_returncode",
            "endless_headers",
            "deep_xml",
            "entities",
            "truncated",
            "bad_length",
            "wrong_checksum",
            "forget",
        ] {
            from_json(format!(r#"{{"kind":"{kind}"}}"#).as_bytes()).expect(kind);
        }
        from_json(br#"{"kind":"status","code":502,"delay_ms":10}"#).unwrap();
        from_json(br#"{"kind":"huge","bytes":1000000000}"#).unwrap();
        from_json(br#"{"kind":"failed","message_key":"k","message":"m"}"#).unwrap();
        assert!(from_json(br#"{"kind":"nonsense"}"#).is_err());
    }

    #[test]
    fn limits_are_used_up_by_matching_calls_only() {
        let mut faults = Faults::default();
        faults.add(Fault::new(FaultKind::Hang).on(["create"]).times(2));
        assert_eq!(faults.take("join"), None);
        assert!(faults.take("create").is_some());
        assert!(faults.take("create").is_some());
        assert_eq!(faults.take("create"), None);
        assert!(faults.is_empty());
    }
}
