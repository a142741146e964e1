//! TCP sockets: reserved ports, and listeners that share them.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Takes a port (0: any free one) for as long as the socket lives, without
/// listening on it. Fails when anybody else has it.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp(address)?;
    // Sharing is allowed only after binding: two simulators must not end up
    // sharing a port, our own listening sockets must.
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

/// Listens on a port that [`reserve`] holds.
pub(crate) fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = tcp(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket)
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where a socket is bound.
pub(crate) fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet socket"))
}
