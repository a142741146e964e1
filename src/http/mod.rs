//! The way in, from the socket to the call and back.
//!
//! - [`listen`]: sockets, the accept loop around the warp service, draining
//! - [`routes`]: what is asked for; panic guard, request ids
//! - [`guard`]: content type, body, checksum, in this order
//! - [`answers`]: answers and errors as HTTP
//! - [`notice`]: what nginx is told before a replica stops
//! - [`upload`]: recordings that BBB servers send

pub mod answers;
pub mod guard;
pub mod listen;
pub mod notice;
pub mod routes;
pub mod upload;
