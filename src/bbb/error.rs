//! The errors that we return in BBB's own format, always with HTTP status 200.

use crate::bbb::xml_writer;
use serde_json::json;

/// An error that a client sees as `<returncode>FAILED</returncode>` with a key and a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Checksum missing, wrong, duplicated, or of a length or algorithm that is not allowed.
    #[error("You did not pass the checksum security check")]
    InvalidChecksum,
    /// No meetingID, or a blank one.
    #[error("You must specify a meeting ID for the meeting.")]
    MissingMeetingId,
    /// A breakout room without parentMeetingID.
    #[error("No parent meeting ID was provided for the breakout room")]
    MissingParentMeeting,
    /// A breakout room whose parent is not recorded.
    #[error("No parent meeting exists for the breakout room")]
    ParentMeetingNotFound,
    /// A breakout room without sequence, which a server answers with status 500.
    #[error("You must provide the sequence of the breakout room, a whole number")]
    InvalidSequence,
    /// No meeting with this id is recorded.
    #[error("We could not find a meeting with that meeting ID - perhaps the meeting is not yet running?")]
    MeetingNotFound,
    /// The same, on sendChatMessage, where BBB 3.0 has an error of its own; also if nobody is in the meeting.
    #[error("Meeting not found or not active")]
    ChatMeetingNotFound,
    /// A join to a server that is offline.
    #[error("The server for this meeting is disabled/offline.")]
    ServerUnavailable,
    /// No candidate for a create.
    #[error("Could not find any available servers.")]
    NoServers,
    /// No candidate with the required tag.
    #[error("There is no available server with the required tag={0}.")]
    TagUnavailable(String),
    /// The meeting's server did not respond, or not with a BBB response.
    #[error("Unable to access meeting on server.")]
    ServerAccessFailed,
    /// The same, on create.
    #[error("Unable to create meeting on server.")]
    CreateFailed,
    /// The same, on insertDocument.
    #[error("Unable to insert document on server.")]
    InsertFailed,
    /// A path, call or method that we do not support.
    #[error("This request is not supported.")]
    UnsupportedRequest,
    /// A body that is neither a form nor, where allowed, XML.
    #[error("POST request Content-Type is missing or unsupported")]
    UnsupportedContentType,
    /// A body over the limit, in bytes (this project's decision; BBB has no key for it).
    #[error("The request body is larger than the {0} bytes that are accepted.")]
    BodyTooLarge(usize),
    /// The same for a form whose checksum is in its body, so that it must be read before it can be verified.
    #[error(
        "The request body is larger than the {0} bytes that are accepted unless the checksum is in the query."
    )]
    UnsignedBodyTooLarge(usize),
    /// More bytes of such forms are being read than this replica holds at a time (this project's decision).
    #[error("Too many requests without a checksum in their query are being received. Please try again.")]
    TooManyUnsignedBodies,
    /// More metadata than a call takes (this project's decision).
    #[error("There are more than {0} different meta_ parameters.")]
    TooManyMetadataKeys(usize),
    /// More recordings than a call changes (this project's decision).
    #[error("recordID has more than {0} ids.")]
    TooManyRecordIds(usize),
    /// A body that is incomplete or does not match its Content-Type.
    #[error("The request body could not be read: {0}.")]
    InvalidBody(&'static str),
    /// Redis does not respond.
    #[error("The load balancer cannot reach its state. Please try again.")]
    StateUnavailable,
    /// No recordID, or a blank one.
    #[error("You must specify a recordID.")]
    MissingRecordId,
    /// publishRecordings without publish.
    #[error("You must specify a publish value true or false.")]
    MissingPublish,
    /// getRecordings without meetingID and recordID, where GET_RECORDINGS_API_FILTERED requires one.
    #[error("param meetingID or recordID must be included.")]
    MissingFilter,
    /// None of the requested recordings exists, or this pool has no recordings.
    #[error("We could not find recordings")]
    RecordingNotFound,
    /// Postgres does not respond, or another process is changing this recording.
    #[error("The load balancer cannot reach its index of recordings. Please try again.")]
    IndexUnavailable,
    /// The storage of recordings failed: disk full, mount gone.
    #[error("The files of the recording could not be changed. Please try again.")]
    FilesUnavailable,
    /// A recording that is in the index, but has no files.
    #[error("The files of the recording are missing.")]
    FilesMissing,
    /// A text track call without this parameter.
    #[error("Missing parameter {0}.")]
    MissingTrackParam(&'static str),
    /// No recording with this id, in a text track call.
    #[error("No recording found for {0}")]
    NoSuchRecording(String),
    /// A recording without text tracks.
    #[error("No captions found for {0}")]
    NoCaptions(String),
    /// An invalid kind of text track.
    #[error("Invalid kind parameter, expected='subtitles|captions' actual={0}")]
    InvalidKind(String),
    /// A language that is not a BCP 47 tag.
    #[error("Malformed lang parameter, received={0}")]
    InvalidLang(String),
    /// No file, or an empty one.
    #[error("Empty uploaded text track.")]
    EmptyTrack,
    /// A file that is not a text track, or a recording that cannot have one.
    #[error("Text track upload failed: {0}.")]
    BadTrack(String),
    /// Every voice bridge that was tried for a new meeting is taken.
    #[error("Could not find a free voice bridge number.")]
    NoVoiceBridge,
}

impl ApiError {
    /// The `messageKey` that clients switch on.
    pub fn key(&self) -> &'static str {
        match self {
            ApiError::InvalidChecksum => "checksumError",
            ApiError::MissingMeetingId => "missingParamMeetingID",
            ApiError::MissingParentMeeting => "parentMeetingIDMissing",
            ApiError::ParentMeetingNotFound => "parentMeetingDoesNotExist",
            ApiError::InvalidSequence => "validationError",
            ApiError::MeetingNotFound => "notFound",
            ApiError::ChatMeetingNotFound => "meetingNotFound",
            ApiError::ServerUnavailable => "serverUnavailable",
            ApiError::TagUnavailable(_) => "serverTagUnavailable",
            ApiError::UnsupportedRequest => "unsupportedRequest",
            ApiError::UnsupportedContentType => "unsupportedContentType",
            ApiError::BodyTooLarge(_) | ApiError::UnsignedBodyTooLarge(_) => "requestTooLarge",
            ApiError::InvalidBody(_) => "badRequestBody",
            ApiError::MissingRecordId => "missingParamRecordID",
            ApiError::MissingPublish => "missingParamPublish",
            ApiError::MissingFilter => "missingParameters",
            ApiError::RecordingNotFound => "notFound",
            ApiError::MissingTrackParam(_)
            | ApiError::TooManyMetadataKeys(_)
            | ApiError::TooManyRecordIds(_) => "paramError",
            ApiError::NoSuchRecording(_) => "noRecordings",
            ApiError::NoCaptions(_) => "noCaptionsFound",
            ApiError::InvalidKind(_) => "invalidKind",
            ApiError::InvalidLang(_) => "invalidLang",
            ApiError::EmptyTrack => "empty_uploaded_text_track",
            ApiError::BadTrack(_) => "upload_text_track_failed",
            ApiError::NoServers
            | ApiError::ServerAccessFailed
            | ApiError::CreateFailed
            | ApiError::InsertFailed
            | ApiError::StateUnavailable
            | ApiError::TooManyUnsignedBodies
            | ApiError::IndexUnavailable
            | ApiError::FilesUnavailable
            | ApiError::FilesMissing
            | ApiError::NoVoiceBridge => "internalError",
        }
    }

    /// The response of calls that return JSON.
    pub fn to_json(&self) -> String {
        let (key, message) = (self.key(), self.to_string());
        json!({ "response": { "returncode": "FAILED", "messageKey": key, "message": message } }).to_string()
    }

    /// The response of all other calls.
    pub fn to_xml(&self) -> String {
        format!(
            "<response><returncode>FAILED</returncode><messageKey>{}</messageKey><message>{}</message></response>",
            self.key(),
            xml_writer::escape(&self.to_string()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_escaped() {
        let xml = ApiError::TagUnavailable("<a>&\u{1}".into()).to_xml();
        assert!(xml.contains("tag=&lt;a&gt;&amp;\u{fffd}."), "{xml}");
    }
}
