//! Reserves ports, and opens listening sockets that share them.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Reserves a port (0: any free one) while the socket exists, without listening on it. Fails if another process or
/// simulator has it.
pub(crate) fn reserve_port(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_tcp_socket(address)?;
    // SO_REUSEPORT only after bind: two simulators must not share a port, the listening sockets of this one must.
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

/// Opens a listening socket on a port that [`reserve_port`] holds.
pub(crate) fn bind_listener(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_tcp_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket)
}

fn new_tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The address that a socket is bound to.
pub(crate) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet socket"))
}
