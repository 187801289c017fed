use super::{
    Handler, MAX_CLIENTS, TIMEOUTS, Timeouts,
    lines::{Line, Lines},
};
use gogrid_panel_api::{MAX_REQUEST, Request, RequestError, Response};
use std::time::Duration;
use tokio::{
    io::{self, AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Serves one client until it goes or breaks a rule.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    handler: impl Handler,
    timeouts: Timeouts,
) -> io::Result<()> {
    let (reader, writer) = io::split(stream);
    let mut lines = Lines::new(reader, timeouts.line);
    let mut responses = ResponseWriter { writer, within: timeouts.answer };
    let mut next = lines.next().await?;
    while let Some(line) = next {
        let request = match line {
            Line::Whole(line) => Request::from_line(&line),
            Line::TooLong => Err(RequestError::new(None, format!("a request has at most {MAX_REQUEST} bytes"))),
            Line::Unfinished => {
                let within = timeouts.line.as_secs();
                let refused = RequestError::new(None, format!("the request did not end within {within} s"));
                return responses.write(&Response::Refused(refused)).await;
            }
        };
        let response = match request {
            Ok(Request::Follow { every_ms }) => {
                next = follow(&mut lines, &mut responses, &handler, Duration::from_millis(every_ms.into())).await?;
                continue;
            }
            Ok(Request::Status) => Response::Status(Box::new(handler.status())),
            Ok(request) => handler.handle(request).await,
            Err(refused) => Response::Refused(refused),
        };
        responses.write(&response).await?;
        next = lines.next().await?;
    }
    Ok(())
}

/// One client too many.
pub(super) async fn turn_away<S: AsyncWrite + Unpin>(stream: S) -> io::Result<()> {
    let refused = RequestError::new(None, format!("{MAX_CLIENTS} clients are connected already"));
    ResponseWriter { writer: stream, within: TIMEOUTS.answer }.write(&Response::Refused(refused)).await
}

/// Sends the state again and again until the client sends a line or goes; gives that line.
async fn follow<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    lines: &mut Lines<R>,
    responses: &mut ResponseWriter<W>,
    handler: &impl Handler,
    every: Duration,
) -> io::Result<Option<Line>> {
    let mut changes = handler.changes();
    loop {
        // Marked before the state is read: a change in between is sent once more, never missed.
        changes.mark_unchanged();
        responses.write(&Response::Status(Box::new(handler.status()))).await?;
        tokio::select! {
            line = lines.next() => return line,
            () = tokio::time::sleep(every) => {}
            changed = changes.changed() => if changed.is_err() {
                // The worker ends.
                return Ok(None);
            },
        }
    }
}

/// The writing half of a client's connection.
struct ResponseWriter<W> {
    writer: W,
    /// The time within which an answer is taken.
    within: Duration,
}

impl<W: AsyncWrite + Unpin> ResponseWriter<W> {
    async fn write(&mut self, response: &Response) -> io::Result<()> {
        let mut line = serde_json::to_vec(response)?;
        line.push(b'\n');
        let written = async {
            self.writer.write_all(&line).await?;
            self.writer.flush().await
        };
        timeout(self.within, written).await?
    }
}
