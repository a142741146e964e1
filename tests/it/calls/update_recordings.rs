//! updateRecordings.
