//! A client's connection: bytes go out as fast as the client takes them, but not more slowly than it may; and whether
//! there still is a client.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::metrics::Metrics;

/// A connection that fails where its client takes nothing for too long.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    /// The longest time in which the client may take nothing of what is to be sent.
    stall_max: Duration,
    /// Runs while there is something to send and no room for it.
    stalled: Option<Pin<Box<Sleep>>>,
    metrics: Arc<Metrics>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, stall_max: Duration, metrics: Arc<Metrics>) -> Self {
        Self { stream: Arc::new(stream), stall_max, stalled: None, metrics }
    }

    /// The client at the other end.
    pub(super) fn client(&self) -> Client {
        Client(Arc::clone(&self.stream))
    }

    /// Writes once there is room.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        while self.stream.poll_write_ready(context)?.is_ready() {
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    self.stalled = None;
                    return Poll::Ready(sent);
                }
            }
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.stall_max)));
        ready!(stalled.as_mut().poll(context));
        self.metrics.http_send_timeouts.inc();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(into.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|count| into.advance(count))),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self.stream, rustix::net::Shutdown::Write).map_err(io::Error::from))
    }
}

/// Whom an answer is for.
#[derive(Clone, Debug)]
pub(super) struct Client(Arc<TcpStream>);

impl Client {
    /// Waits until the client has closed its end. Where it sent nothing beyond its request the HTTP library sees that at
    /// once, but behind a further request it does not look; here it is seen within a tenth of a second.
    pub(super) async fn gone(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        loop {
            // First, as most answers are there sooner.
            sleep(LOOK).await;
            // With bytes to read, it is at once ready; without, it waits for some or for the end.
            match self.0.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}
