//! HTTP front end: from the socket to the service, and responses.
//!
//! - [`listen`]: sockets, the accept loop around the warp service
//! - [`drain`]: answers 503 before a replica closes its listener
//! - [`strict_head`]: refuses request heads with bare line feeds
//! - [`host`]: the hosts that are served (URL_HOST)
//! - `unix_socket`: a unix socket's permissions and group
//! - [`responses`]: results and errors of calls as HTTP responses
//! - [`file_response`]: a file or a range of it

pub mod drain;
pub mod file_response;
pub mod host;
pub mod listen;
pub mod responses;
pub mod strict_head;
mod unix_socket;
