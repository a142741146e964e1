//! From ports to HTTP requests: sockets, worker threads, connections.

pub(crate) mod connection;
pub(crate) mod sockets;
pub(crate) mod worker;
