//! Faults: what fails, for which calls, how often.

pub(crate) mod bodies;
pub(crate) mod inject;
mod socket;

use std::io;

use serde::{Deserialize, Serialize};

/// A fault of one server: what happens, to which calls, how often.
///
/// In JSON (the control API) the fields of the kind stand beside the limits:
/// `{"kind":"slow","ms":500,"calls":["create"],"times":3}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Applies to these calls only (`create`, `hooks/create`, `index` …); empty: to every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// Applies to this many matching requests, then is removed; `None`: until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Milliseconds before it takes effect.
    #[serde(default)]
    pub delay_ms: u64,
}

impl Fault {
    /// A fault of this kind that applies to every call until cleared.
    pub fn new(kind: FaultKind) -> Fault {
        Fault { kind, calls: Vec::new(), times: None, delay_ms: 0 }
    }

    /// Limits it to these calls.
    #[must_use]
    pub fn on<S: Into<String>>(mut self, calls: impl IntoIterator<Item = S>) -> Fault {
        self.calls = calls.into_iter().map(Into::into).collect();
        self
    }

    /// Limits it to the next `times` matching requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    /// Delays its effect by `ms` milliseconds.
    #[must_use]
    pub fn after_ms(mut self, ms: u64) -> Fault {
        self.delay_ms = ms;
        self
    }

    fn matches(&self, call: &str) -> bool {
        self.kind == FaultKind::Refuse || self.calls.is_empty() || self.calls.iter().any(|c| c == call)
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Fault {
        Fault::new(kind)
    }
}

/// The kinds of faults. The call is not executed unless the kind says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Executes the call at once, responds correctly after `ms` milliseconds.
    Slow {
        /// Milliseconds until the response.
        ms: u64,
    },
    /// Closes the listening sockets and drops open connections: new ones are refused until the fault is cleared,
    /// then accepted on the same port. The limits (`calls`, `times`, `delay_ms`) do not apply.
    Refuse,
    /// Reads the request, then resets the connection (RST).
    Reset,
    /// Executes the call, then resets the connection: the response is lost.
    ResetAfter,
    /// Reads the request and never responds.
    Hang,
    /// Executes the call and never responds.
    HangAfter,
    /// FAILED with maxConcurrentMeetings, as a full server.
    Full,
    /// FAILED with this key and message.
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
    /// Chunked XML with one text element of this length, generated while it is sent.
    Huge {
        /// Length in bytes; 0: endless.
        bytes: u64,
    },
    /// A status line, then endless headers.
    EndlessHeaders,
    /// XML with deeply nested elements.
    DeepXml {
        /// Nesting depth.
        #[serde(default = "default_nesting_depth")]
        depth: u32,
    },
    /// A DOCTYPE with entities that expand to gigabytes ("billion laughs").
    Entities,
    /// Executes the call, sends the Content-Length of the whole response but half of its body, and closes.
    Truncated,
    /// Executes the call and sends half of the response's body as if it were the whole.
    CutOff,
    /// Executes the call and sends the whole response with this Content-Length: not a number, or a wrong one.
    BadLength {
        /// The header's value, verbatim.
        #[serde(default = "default_length")]
        value: String,
    },
    /// checksumError, as if the server's secret had changed.
    WrongChecksum,
    /// FAILED with notFound, whatever the call.
    Forget,
}

fn default_nesting_depth() -> u32 {
    100_000
}

fn default_length() -> String {
    "twelve".into()
}

/// The faults of one server; the first one that matches a request applies.
#[derive(Default)]
pub(crate) struct FaultList(Vec<Fault>);

impl FaultList {
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

    /// The fault that applies to a request to `call`; counts against its limit.
    pub(crate) fn take(&mut self, call: &str) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.matches(call))?;
        let fault = &mut self.0[index];
        let taken = fault.clone();
        if let Some(times) = &mut fault.times
            && fault.kind != FaultKind::Refuse
        {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(index);
            }
        }
        Some(taken)
    }

    /// Whether the server must refuse connections.
    pub(crate) fn refuses_connections(&self) -> bool {
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
    fn json_names_are_as_documented() {
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
            "cut_off",
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
    fn only_matching_calls_count_against_the_limit() {
        let mut faults = FaultList::default();
        faults.add(Fault::new(FaultKind::Hang).on(["create"]).times(2));
        assert_eq!(faults.take("join"), None);
        assert!(faults.take("create").is_some());
        assert!(faults.take("create").is_some());
        assert_eq!(faults.take("create"), None);
        assert!(faults.is_empty());
    }
}
