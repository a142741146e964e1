//! HTTP front end: from the socket to the service, and responses.
//!
//! - [`listen`]: sockets, the accept loop around the warp service
//! - [`drain`]: answers 503 before a replica closes its listener
//! - [`responses`]: results and errors of calls as HTTP responses
//! - [`file_response`]: a file or a range of it

pub mod drain;
pub mod file_response;
pub mod listen;
pub mod responses;
