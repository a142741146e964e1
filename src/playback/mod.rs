//! Playback: what a browser may see of a recording.
//!
//! - [`target`]: what a path asks for; all that is wrong with one ends here
//! - [`access`]: whether it may be seen: index, tokens, cookies
//! - [`cookie`]: what a browser shows that came by a link to a protected recording
//! - [`player`]: a small player of presentations, for pools without another one
//! - [`http`]: how the files get to the browser, through nginx or from us

pub mod access;
pub mod cookie;
pub mod http;
pub mod player;
pub mod target;

pub use access::{Answer, PlaybackError, Seen, answer};
pub use target::{Place, Target, encoded};
