//! publishRecordings.
