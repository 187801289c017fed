//! One direction of a link, and its two ends.

use super::network::{Net, Wires};
use gogrid_wire::PeerId;
use rand::RngExt;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// One direction of a link.
pub(super) struct Pipe {
    pub(super) from: PeerId,
    pub(super) to: PeerId,
    /// With when they arrive.
    pub(super) chunks: VecDeque<(Instant, Vec<u8>)>,
    pub(super) queued: usize,
    pub(super) finished: bool,
    pub(super) unread: bool,
    pub(super) broken: bool,
    /// One end lost power: nothing passes, and the other end does not know.
    pub(super) dark: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    pub(super) fn is_of(&self, machine: PeerId) -> bool {
        self.from == machine || self.to == machine
    }
}

pub(super) struct Reader {
    pub(super) net: Net,
    pub(super) pipe: usize,
    pub(super) arrival: Pin<Box<Sleep>>,
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut wires = this.net.lock();
        let Wires { pipes, cut, still, .. } = &mut *wires;
        let Some(pipe) = pipes.get_mut(&this.pipe) else { return Poll::Ready(Err(io::ErrorKind::NotFound.into())) };
        if pipe.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        pipe.reader = Some(cx.waker().clone());
        if pipe.dark || still.contains(&pipe.to) || cut.contains(&(pipe.from, pipe.to)) {
            return Poll::Pending;
        }
        match pipe.chunks.front_mut() {
            None if pipe.finished => Poll::Ready(Ok(())),
            None => Poll::Pending,
            Some((at, _)) if *at > Instant::now() => {
                this.arrival.as_mut().reset(*at);
                // Wakes this task when it is time.
                this.arrival.as_mut().poll(cx).map(Ok)
            }
            Some((_, bytes)) => {
                let taken = bytes.len().min(buf.remaining());
                buf.put_slice(&bytes[..taken]);
                bytes.drain(..taken);
                if bytes.is_empty() {
                    pipe.chunks.pop_front();
                }
                pipe.queued -= taken;
                pipe.writer.take().into_iter().for_each(Waker::wake);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut wires = self.net.lock();
        if let Some(pipe) = wires.pipes.get_mut(&self.pipe) {
            pipe.unread = true;
            pipe.wake();
            if pipe.finished {
                wires.pipes.remove(&self.pipe);
            }
        }
    }
}

pub(super) struct Writer {
    pub(super) net: Net,
    pub(super) pipe: usize,
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wires = self.net.lock();
        let Wires { random, window, pipes, slow, .. } = &mut *wires;
        let Some(pipe) = pipes.get_mut(&self.pipe) else { return Poll::Ready(Err(io::ErrorKind::NotFound.into())) };
        if pipe.broken || (pipe.unread && !pipe.dark) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = window.saturating_sub(pipe.queued);
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        let slowness = |id| slow.get(id).copied().unwrap_or_default();
        let delay = Duration::from_millis(random.random_range(0..3)) + slowness(&pipe.from) + slowness(&pipe.to);
        let last = pipe.chunks.back().map(|(at, _)| *at);
        let arrives = last.into_iter().fold(Instant::now() + delay, Instant::max);
        pipe.chunks.push_back((arrives, bytes[..taken].to_vec()));
        pipe.queued += taken;
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pipe) = self.net.lock().pipes.get_mut(&self.pipe) {
            pipe.finished = true;
            pipe.reader.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut wires = self.net.lock();
        if let Some(pipe) = wires.pipes.get_mut(&self.pipe) {
            pipe.finished = true;
            pipe.reader.take().into_iter().for_each(Waker::wake);
            // A reader still gets what is in transit.
            if pipe.unread {
                wires.pipes.remove(&self.pipe);
            }
        }
    }
}
