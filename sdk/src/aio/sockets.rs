//! Reaching a container, as futures.

use std::io;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};

use super::Async;
use crate::container::{Container, PortOf};
use crate::error::{Attempt as _, Result};
use crate::spec::port::Protocol;

impl<D: 'static> Async<Container<D>> {
    /// Connects to a TCP port of the running container, inside its network.
    ///
    /// # Errors
    /// As for [`Container::connect`].
    pub async fn connect(&self, port: impl PortOf<D>) -> Result<TcpStream> {
        let port = port.choose().of(Protocol::Tcp)?;
        let stream = self.blocking(move |container| container.handle().connect(port)).await?;
        watched(stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)))
    }

    /// A UDP socket inside the container's network, connected to a port in there.
    ///
    /// # Errors
    /// As for [`Container::connect_udp`].
    pub async fn connect_udp(&self, port: impl PortOf<D>) -> Result<UdpSocket> {
        let port = port.choose().of(Protocol::Udp)?;
        let socket = self.blocking(move |container| container.handle().connect_udp(port)).await?;
        watched(socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket)))
    }

    /// Listens on a TCP port inside the running container's network.
    ///
    /// # Errors
    /// As for [`Container::listen`].
    pub async fn listen(&self, port: impl PortOf<D>) -> Result<TcpListener> {
        let port = port.choose().of(Protocol::Tcp)?;
        let listener = self.blocking(move |container| container.handle().listen(port)).await?;
        watched(listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)))
    }

    /// Connects to a Unix socket of the running container, by its path in there.
    ///
    /// # Errors
    /// As for [`Container::connect_unix`].
    pub async fn connect_unix(&self, path: impl AsRef<Path>) -> Result<UnixStream> {
        let path = path.as_ref().to_owned();
        let stream = self.blocking(move |container| container.connect_unix(path)).await?;
        watched(stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)))
    }
}

fn watched<T>(socket: io::Result<T>) -> Result<T> {
    socket.attempt(|| "watch a socket in the runtime")
}
