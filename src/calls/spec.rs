//! What each call accepts and how it is carried out: one row a call, every field spelled out.

use crate::config::Config;

/// The rules of one call. There are no defaults: a row without one of these fields does not compile.
#[derive(Debug)]
pub struct CallSpec {
    /// Last part of the path, and what the checksum is computed over. Case-sensitive, as in BBB.
    pub name: &'static str,
    /// HTTP methods. HEAD counts as GET.
    pub methods: Methods,
    /// Bodies of a POST.
    pub body: AcceptedBody,
    /// Whether a checksum is required.
    pub signature: Signature,
    /// Format of the response, errors included.
    pub format: Format,
    /// Links in the response.
    pub links: Links,
    /// What happens to a running call when its client hangs up.
    pub completion: Completion,
}

/// HTTP methods of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// GET and HEAD.
    Get,
    /// POST.
    Post,
    /// All three.
    GetOrPost,
}

impl Methods {
    /// True if GET and HEAD are accepted.
    pub fn accepts_get(self) -> bool {
        match self {
            Methods::Get | Methods::GetOrPost => true,
            Methods::Post => false,
        }
    }

    /// True if POST is accepted.
    pub fn accepts_post(self) -> bool {
        match self {
            Methods::Post | Methods::GetOrPost => true,
            Methods::Get => false,
        }
    }
}

/// Request bodies of a call. A form is `application/x-www-form-urlencoded` or `multipart/form-data`, a
/// document is XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedBody {
    /// No body.
    None,
    /// A form.
    Form,
    /// A document.
    Document,
    /// Either.
    FormOrDocument,
    /// A form whose field `file` is a file.
    FormWithFile {
        /// Limit of the whole body.
        max_bytes: usize,
    },
}

impl AcceptedBody {
    /// True if a form is accepted.
    pub fn accepts_form(self) -> bool {
        match self {
            AcceptedBody::Form | AcceptedBody::FormOrDocument | AcceptedBody::FormWithFile { .. } => true,
            AcceptedBody::None | AcceptedBody::Document => false,
        }
    }

    /// True if a document is accepted.
    pub fn accepts_document(self) -> bool {
        match self {
            AcceptedBody::Document | AcceptedBody::FormOrDocument => true,
            AcceptedBody::None | AcceptedBody::Form | AcceptedBody::FormWithFile { .. } => false,
        }
    }

    /// The limit of a form with a file, in bytes; None if the call takes no file.
    pub fn max_file_bytes(self) -> Option<usize> {
        match self {
            AcceptedBody::FormWithFile { max_bytes } => Some(max_bytes),
            AcceptedBody::None
            | AcceptedBody::Form
            | AcceptedBody::Document
            | AcceptedBody::FormOrDocument => None,
        }
    }
}

/// Whether a call requires a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// Always.
    Required,
    /// Never.
    NotRequired,
    /// Unless GET_MEETINGS_API_DISABLED, where the response is always the same empty list.
    UnlessGetMeetingsDisabled,
    /// Unless RECORDING_DISABLED, where the response is always the same: there are no recordings.
    UnlessRecordingsDisabled,
}

/// Response format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/xml`.
    Xml,
    /// `application/json`.
    Json,
}

/// Links in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// None of ours.
    None,
    /// Links that begin with the scheme and host that the client used.
    ToClientHost,
}

/// What happens to a running call when its client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It runs to its end in a task of its own: dropped halfway, it would leave a change unfinished.
    RunToEnd,
    /// It is dropped: nothing is left unfinished.
    MayCancel,
}

/// Declares [`Call`] and its lookups from one table, so that a call cannot be left out of any of them.
macro_rules! calls {
    ($($(#[$doc:meta])* $call:ident = $name:literal { $($field:ident: $value:expr),* $(,)? })*) => {
        /// The BBB API calls that we serve.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Call {
            $($(#[$doc])* $call,)*
        }

        impl Call {
            /// All calls.
            pub const ALL: &[Call] = &[$(Call::$call),*];

            /// The call's row.
            pub const fn spec(self) -> &'static CallSpec {
                match self {
                    $(Call::$call => &CallSpec { name: $name, $($field: $value),* },)*
                }
            }

            /// The call of this name.
            pub fn named(name: &str) -> Option<Call> {
                match name {
                    $($name => Some(Call::$call),)*
                    _ => None,
                }
            }
        }
    };
}

calls! {
    /// The call without a name: the version of the API.
    Index = "" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form, signature: Signature::NotRequired,
        format: Format::Xml, links: Links::None, completion: Completion::MayCancel,
    }
    /// create
    Create = "create" {
        methods: Methods::GetOrPost, body: AcceptedBody::FormOrDocument,
        signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::RunToEnd,
    }
    /// join
    Join = "join" {
        methods: Methods::Get, body: AcceptedBody::None, signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::RunToEnd,
    }
    /// end
    End = "end" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form, signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::RunToEnd,
    }
    /// isMeetingRunning
    IsMeetingRunning = "isMeetingRunning" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::MayCancel,
    }
    /// getMeetingInfo
    GetMeetingInfo = "getMeetingInfo" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::MayCancel,
    }
    /// getMeetings
    GetMeetings = "getMeetings" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::UnlessGetMeetingsDisabled,
        format: Format::Xml, links: Links::None, completion: Completion::MayCancel,
    }
    /// insertDocument. It changes the meeting on its server only, in one request: nothing of ours is left
    /// unfinished.
    InsertDocument = "insertDocument" {
        methods: Methods::Post, body: AcceptedBody::Document,
        signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::MayCancel,
    }
    /// sendChatMessage. As insertDocument.
    SendChatMessage = "sendChatMessage" {
        methods: Methods::Get, body: AcceptedBody::None,
        signature: Signature::Required,
        format: Format::Xml, links: Links::None, completion: Completion::MayCancel,
    }
    /// getRecordings. Not run to its end: a task of its own would cost it a quarter of its rate, and its
    /// clients seldom hang up.
    GetRecordings = "getRecordings" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::UnlessRecordingsDisabled,
        format: Format::Xml, links: Links::ToClientHost, completion: Completion::MayCancel,
    }
    /// publishRecordings
    PublishRecordings = "publishRecordings" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::UnlessRecordingsDisabled,
        format: Format::Xml, links: Links::None, completion: Completion::RunToEnd,
    }
    /// updateRecordings
    UpdateRecordings = "updateRecordings" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::UnlessRecordingsDisabled,
        format: Format::Xml, links: Links::None, completion: Completion::RunToEnd,
    }
    /// deleteRecordings
    DeleteRecordings = "deleteRecordings" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::UnlessRecordingsDisabled,
        format: Format::Xml, links: Links::None, completion: Completion::RunToEnd,
    }
    /// getRecordingTextTracks. It only reads, but it is too rare for the cost of a task to matter.
    GetRecordingTextTracks = "getRecordingTextTracks" {
        methods: Methods::GetOrPost, body: AcceptedBody::Form,
        signature: Signature::UnlessRecordingsDisabled,
        format: Format::Json, links: Links::ToClientHost, completion: Completion::RunToEnd,
    }
    /// putRecordingTextTrack
    PutRecordingTextTrack = "putRecordingTextTrack" {
        methods: Methods::Post,
        body: AcceptedBody::FormWithFile { max_bytes: 10 * 1024 * 1024 },
        signature: Signature::Required,
        format: Format::Json, links: Links::None, completion: Completion::RunToEnd,
    }
}

/// Calls of browsers to their own BBB server that we do not serve, and that BBB answers in JSON. It answers the others
/// (getSessions, signOut) in XML.
const BROWSER_JSON_CALLS: [&str; 6] =
    ["enter", "feedback", "getJoinUrl", "guestWait", "learningDashboard", "stuns"];

/// Whether BBB answers this call in JSON, served or not.
pub fn answers_json(name: &str) -> bool {
    match Call::named(name) {
        Some(call) => call.spec().format == Format::Json,
        None => BROWSER_JSON_CALLS.contains(&name),
    }
}

impl Call {
    /// Its name.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// Whether it requires a checksum under these settings.
    pub fn is_signed(self, config: &Config) -> bool {
        match self.spec().signature {
            Signature::Required => true,
            Signature::NotRequired => false,
            Signature::UnlessGetMeetingsDisabled => !config.api.get_meetings_disabled,
            Signature::UnlessRecordingsDisabled => !config.recordings.disabled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_found_by_its_name_and_no_two_share_one() {
        for &call in Call::ALL {
            assert_eq!(Call::named(call.name()), Some(call));
        }
        assert_eq!(Call::named("Create"), None);
        assert_eq!(Call::named("getJoinUrl"), None);
    }

    #[test]
    fn a_call_accepts_bodies_exactly_if_it_accepts_post() {
        for call in Call::ALL {
            let CallSpec { methods, body, .. } = call.spec();
            assert_eq!(methods.accepts_post(), *body != AcceptedBody::None, "{call:?}");
        }
    }
}
