//! A connection to a port of the pod, from inside its network: `podyard port-forward`. So it reaches what listens on the pod's own localhost,
//! which nobody else can.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::rc::Rc;

use podyard_linux::network;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::World;
use super::handlers::go_text;

/// Read at once from the connection, in bytes.
const CHUNK: usize = 32 << 10;

/// One connection, to be opened by [`Self::open`].
pub(crate) struct ForwardSession {
    world: Rc<World>,
    port: u16,
    reader: RefCell<Option<OwnedReadHalf>>,
    writer: Mutex<Option<OwnedWriteHalf>>,
}

impl ForwardSession {
    pub(crate) fn new(world: &Rc<World>, port: u16) -> Self {
        Self {
            world: Rc::clone(world),
            port,
            reader: RefCell::default(),
            writer: Mutex::default(),
        }
    }

    /// Connects to the port on localhost, by either version of IP, as the container runtimes do.
    pub(crate) async fn open(&self) -> Result<(), String> {
        let mut last = String::new();
        for address in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            let address = SocketAddr::new(address, self.port);
            match self.connect(address).await {
                Ok((reader, writer)) => {
                    *self.reader.borrow_mut() = Some(reader);
                    *self.writer.lock().await = Some(writer);
                    return Ok(());
                }
                // What IPv4 says is what people look for.
                Err(error) if last.is_empty() => {
                    last = format!("dial tcp4 {address}: connect: {}", go_text(&error))
                }
                Err(_) => {}
            }
        }
        Err(format!(
            "failed to connect to localhost:{} inside the pod's network: {last}",
            self.port
        ))
    }

    async fn connect(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        let sandbox = self.world.live.sandbox.borrow().clone();
        let sandbox = sandbox.ok_or_else(|| std::io::Error::other("the pod has no network now"))?;
        let socket = network::tcp_socket_in(sandbox.namespaces().net.as_fd(), &address)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        Ok(socket.connect(address).await?.into_split())
    }

    /// Sends all of `data`.
    pub(crate) async fn write(&self, data: &[u8]) -> std::io::Result<()> {
        match &mut *self.writer.lock().await {
            Some(writer) => writer.write_all(data).await,
            None => Ok(()),
        }
    }

    /// Nothing more is sent. The other direction stays open.
    pub(crate) async fn finish(&self) {
        // Shuts the direction down as it goes.
        self.writer.lock().await.take();
    }

    /// What comes next; `None` when nothing more can.
    pub(crate) async fn read(&self) -> Option<Vec<u8>> {
        let mut reader = self.reader.borrow_mut().take()?;
        let mut chunk = vec![0; CHUNK];
        let read = reader
            .read(&mut chunk)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        chunk.truncate(read);
        *self.reader.borrow_mut() = Some(reader);
        Some(chunk)
    }
}
