//! Playback: recordings in the browser.
//!
//! - [`target`]: parses and validates the path
//! - [`access`]: access control by index, tokens and cookies
//! - [`cookie`]: the cookie of a browser that has used a link to a protected recording
//! - [`link_scope`]: which part of a recording a link needs
//! - [`player`]: a small presentation player, for pools without bbb-playback
//! - [`http`]: responses: through nginx, from `sl`, or from S3

pub mod access;
pub mod cookie;
pub mod http;
pub mod link_scope;
pub mod player;
pub mod target;

pub use access::{AllowedFile, PlaybackDecision, PlaybackError, decide};
pub use target::{FormatId, PlaybackTarget, percent_encoded};
