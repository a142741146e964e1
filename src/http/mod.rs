//! The way in, from the socket to the call and back.
//!
//! - [`listen`]: sockets, the accept loop around the warp service, draining
//! - [`routes`]: what is asked for; panic guard, request ids
//! - [`guard`]: content type, body, checksum, in this order
//! - [`answers`]: answers and errors as HTTP
//! - [`playback`]: recordings in the browser; [`files`]: any part of a file
//! - [`notice`]: what nginx is told before a replica stops
//! - [`upload`]: recordings that BBB servers send

pub mod answers;
pub mod files;
pub mod guard;
pub mod listen;
pub mod notice;
pub mod playback;
pub mod routes;
pub mod upload;
