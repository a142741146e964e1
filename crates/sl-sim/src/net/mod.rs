//! The network layer: sockets, worker threads, connections.

pub(crate) mod connection;
pub(crate) mod sockets;
pub(crate) mod worker;
