//! The way in, from the socket to the call and back.
//!
//! - [`listen`]: sockets, the accept loop around the warp service, draining
//! - [`drain`]: what nginx is told before a replica stops
//! - [`responses`]: answers and errors as HTTP
//! - [`file_response`]: any part of a file

pub mod drain;
pub mod file_response;
pub mod listen;
pub mod responses;
