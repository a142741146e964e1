//! Recordings that BBB servers send over HTTPS, into the spool.
//!
//! - `http`: `/sl/recordings/{record_id}.tar`, from request to response
//! - `auth`: which server signed the token, and for what
//! - `range`: which bytes of the archive a request brings
//! - `refusal`: every response but success

mod auth;
pub mod http;
mod range;
mod refusal;
