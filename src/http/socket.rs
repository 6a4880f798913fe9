//! A client's connection: bytes go out as fast as the client takes them, but not more slowly than it may; and whether
//! there still is a client.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::metrics::Metrics;

/// A connection that fails where its client takes nothing for too long.
pub(super) struct Socket {
    /// Locked for one system call at a time, and hardly ever by two: [`Client`] asks ten times a second at most.
    stream: Arc<Mutex<TcpStream>>,
    /// The longest time in which the client may take nothing of what is to be sent.
    stall_max: Duration,
    /// Runs while there is something to send and no room for it.
    stalled: Option<Pin<Box<Sleep>>>,
    metrics: Arc<Metrics>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, stall_max: Duration, metrics: Arc<Metrics>) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), stall_max, stalled: None, metrics }
    }

    /// The client at the other end.
    pub(super) fn client(&self) -> Client {
        Client(Arc::clone(&self.stream))
    }

    /// Writes once there is room.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let sent = write(Pin::new(&mut self.stream.lock()), context);
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.stall_max)));
        ready!(stalled.as_mut().poll(context));
        self.metrics.http_send_timeouts.inc();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

/// The stream's own reads and writes: where a read leaves room the socket is known to be empty, and is not asked again.
impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.lock()).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream, context| stream.poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.lock()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.lock()).poll_shutdown(context)
    }
}

/// Whom an answer is for.
#[derive(Clone, Debug)]
pub(super) struct Client(Arc<Mutex<TcpStream>>);

impl Client {
    /// Waits until the client has closed its end. Where it sent nothing beyond its request the HTTP library sees that at
    /// once, but behind a further request it does not look; here it is seen within a tenth of a second.
    pub(super) async fn gone(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        loop {
            // First, as most answers are there sooner.
            sleep(LOOK).await;
            if self.is_gone() {
                return;
            }
        }
    }

    fn is_gone(&self) -> bool {
        let stream = self.0.lock();
        // That it failed or hung up is told unasked.
        let mut asked = [PollFd::new(&*stream, PollFlags::RDHUP)];
        // What cannot be asked is taken to be there: its answer fails where it is not.
        poll(&mut asked, Some(&Timespec::default())).is_ok_and(|told| told > 0)
    }
}
