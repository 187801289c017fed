use crate::transport::Connection;
use gogrid_wire::frame::{self, Bounds, FrameError, PREFIX_BYTES};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, sync::Arc, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer closed the link, or it broke.
    #[error("the link closed")]
    Closed(#[source] io::Error),
    /// The peer sent bytes that are not a frame of the protocol, or a frame to send was too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Closed(error)
    }
}

/// A message with its body.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// The frame's raw bytes beside it.
    pub body: Vec<u8>,
}

/// The sending half of a link.
pub struct FrameSender {
    io: Box<dyn AsyncWrite + Send + Unpin>,
    bounds: Bounds,
    /// Keeps the connection open while this half lives.
    _connection: Arc<dyn Connection>,
}

impl FrameSender {
    pub(crate) fn new(
        io: impl AsyncWrite + Send + Unpin + 'static,
        bounds: Bounds,
        connection: Arc<dyn Connection>,
    ) -> Self {
        Self { io: Box::new(io), bounds, _connection: connection }
    }

    /// Sends one message with its body. Not cancel-safe: a dropped call may leave half a frame behind.
    ///
    /// # Errors
    /// When the link is closed, or the message is longer than the protocol allows.
    pub async fn send<M: Serialize + Sync>(&mut self, message: &M, body: &[u8]) -> Result<(), LinkError> {
        let frame = frame::encode(message, body, self.bounds)?;
        self.io.write_all(&frame).await?;
        self.io.flush().await?;
        Ok(())
    }

    /// Sends raw bytes, for tests of hostile peers. Not cancel-safe.
    ///
    /// # Errors
    /// When the link is closed.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.io.write_all(bytes).await?;
        Ok(self.io.flush().await?)
    }

    /// Ends this direction of the stream. Cancel-safe.
    ///
    /// # Errors
    /// When the link is already closed.
    pub async fn finish(&mut self) -> Result<(), LinkError> {
        Ok(self.io.shutdown().await?)
    }
}

/// The receiving half of a link.
pub struct FrameReceiver {
    io: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    bounds: Bounds,
    /// Header and body of the next frame in bytes, once its prefix was read.
    next: Option<(usize, usize)>,
    /// Keeps the connection open while this half lives.
    connection: Arc<dyn Connection>,
}

impl FrameReceiver {
    pub(crate) fn new(
        io: impl AsyncRead + Send + Unpin + 'static,
        bounds: Bounds,
        connection: Arc<dyn Connection>,
    ) -> Self {
        // A decode step's frame (4 to 16 KB) fits the buffer, so it takes one read.
        Self { io: BufReader::with_capacity(32 << 10, Box::new(io)), bounds, next: None, connection }
    }

    /// The round-trip time as the transport measures it; `None` if it does not.
    pub fn round_trip(&self) -> Option<Duration> {
        self.connection.round_trip()
    }

    /// Receives one message. Not cancel-safe: keep one task on it.
    ///
    /// # Errors
    /// When the link is closed, or the bytes are not a frame of the protocol.
    pub async fn recv<M: DeserializeOwned>(&mut self) -> Result<Received<M>, LinkError> {
        let Received { message: header, body } = self.recv_raw().await?;
        Ok(Received { message: frame::header(&header)?, body })
    }

    /// Receives one frame whose header the caller reads, as its layout depends on the peer's version. Not cancel-safe.
    ///
    /// # Errors
    /// When the link is closed, or a length is out of bounds.
    pub async fn recv_raw(&mut self) -> Result<Received<Vec<u8>>, LinkError> {
        let (header_bytes, body_bytes) = self.lengths().await?;
        let mut header = vec![0; header_bytes];
        self.io.read_exact(&mut header).await?;
        let mut body = vec![0; body_bytes];
        self.io.read_exact(&mut body).await?;
        self.next = None;
        Ok(Received { message: header, body })
    }

    /// Bytes of the next frame's header and body, which then wait to be received: no memory is taken for them yet. Not
    /// cancel-safe.
    ///
    /// # Errors
    /// When the link is closed, or the frame is out of bounds.
    pub async fn next_bytes(&mut self) -> Result<usize, LinkError> {
        let (header, body) = self.lengths().await?;
        Ok(header + body)
    }

    /// Receives one message and skips its body, which takes no memory. Not cancel-safe.
    ///
    /// # Errors
    /// When the link is closed, or what comes is no frame of the protocol.
    pub async fn recv_without_body<M: DeserializeOwned>(&mut self) -> Result<M, LinkError> {
        let (header_bytes, body_bytes) = self.lengths().await?;
        let mut header = vec![0; header_bytes];
        self.io.read_exact(&mut header).await?;
        let mut left = body_bytes;
        while left > 0 {
            let read = self.io.fill_buf().await?.len().min(left);
            if read == 0 {
                return Err(LinkError::Closed(io::ErrorKind::UnexpectedEof.into()));
            }
            self.io.consume(read);
            left -= read;
        }
        self.next = None;
        Ok(frame::header(&header)?)
    }

    async fn lengths(&mut self) -> Result<(usize, usize), LinkError> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let mut prefix = [0; PREFIX_BYTES];
        self.io.read_exact(&mut prefix).await?;
        Ok(*self.next.insert(frame::lengths(prefix, self.bounds)?))
    }
}
