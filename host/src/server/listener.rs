//! The listening socket.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Socket, Type};

/// Connections that may wait to be accepted. The standard library's 128 overflow in a
/// burst, and a client that finds no room tries again only after a second. The system may
/// allow fewer (`net.core.somaxconn`).
pub(super) const BACKLOG: i32 = 4096;

/// Binds an address and listens on it.
///
/// # Errors
/// The address is in use, is not this machine's, or may not be used.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of a server that has ended do not keep the next one from its address.
    // (On Windows the option would let two servers share it.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
