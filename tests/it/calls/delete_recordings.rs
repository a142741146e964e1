//! deleteRecordings.
