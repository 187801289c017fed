use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    time::{Duration, Instant},
};
use x11rb::{
    reexports::x11rb_protocol::{parse_display::parse_display, xauth::get_auth},
    rust_connection::{DefaultStream, PollMode, RustConnection, Stream},
    utils::RawFdContainer,
};

/// A server answers in some 20 µs. One that is stopped, or grabbed by another program, must not block our samples.
const DEADLINE: Duration = Duration::from_millis(50);

/// A stream to an X server with a deadline on every wait.
pub(super) struct DeadlineStream(DefaultStream);

/// Connects to a server on this machine.
pub(super) fn connect(display: &str) -> Result<(RustConnection<DeadlineStream>, usize), String> {
    let display = parse_display(Some(display)).map_err(|error| error.to_string())?;
    if !display.host.is_empty() && display.host != "unix" {
        return Err("it is another machine's".into());
    }
    let screen = display.screen.into();
    let mut failure = "it has no address".into();
    for address in display.connect_instruction() {
        let (stream, (family, peer)) = match DefaultStream::connect(&address) {
            Ok(connected) => connected,
            Err(error) => {
                failure = error.to_string();
                continue;
            }
        };
        // Without a cookie the server may let us in by our user.
        let (name, data) = get_auth(family, &peer, display.display).ok().flatten().unwrap_or_default();
        return RustConnection::connect_to_stream_with_auth_info(DeadlineStream(stream), screen, name, data)
            .map(|connection| (connection, screen))
            .map_err(|error| error.to_string());
    }
    Err(failure)
}

impl Stream for DeadlineStream {
    fn poll(&self, mode: PollMode) -> io::Result<()> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, mode.readable());
        flags.set(PollFlags::OUT, mode.writable());
        let (descriptor, end) = (self.0.as_fd(), Instant::now() + DEADLINE);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::from_borrowed_fd(descriptor, flags)], Some(&timeout)) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&self, buffer: &mut [u8], descriptors: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.read(buffer, descriptors)
    }

    fn write(&self, buffer: &[u8], descriptors: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.write(buffer, descriptors)
    }

    fn write_vectored(&self, buffers: &[IoSlice<'_>], descriptors: &mut Vec<RawFdContainer>) -> io::Result<usize> {
        self.0.write_vectored(buffers, descriptors)
    }
}
