//! Bodies: those that come, unpacked piece by piece under limits; those that go, made piece by piece.

use std::{
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body as HttpBody, Frame, SizeHint},
    header::CONTENT_ENCODING,
};
use tokio::time::timeout;

use crate::http::{
    error::{Error, Kind},
    queries::{Entry, State},
};

/// What one body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes on the wire.
    pub(super) received: u64,
    /// Bytes after unpacking.
    pub(super) unpacked: u64,
    /// The longest wait for the next piece.
    pub(super) stall: Duration,
}

/// How much of a refused body is still taken, so that its sender reads the answer instead of a broken connection.
const DRAINED_BYTES_MAX: usize = 64 << 20;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Hands a body to `take`, unpacked, in pieces as they come. The pieces of a packed body are at most about 64 KiB.
pub(super) async fn read<B>(
    mut body: B,
    headers: &HeaderMap,
    limits: Limits,
    take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let read = pour(&mut body, headers, limits, take).await;
    if read.as_ref().is_err_and(|error| error.kind != Kind::TooSlow) {
        drain(&mut body).await;
    }
    read
}

async fn pour<B>(
    body: &mut B,
    headers: &HeaderMap,
    limits: Limits,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let too_large = || Error::new(Kind::TooLarge, "Request Entity Too Large");
    let mut unpacker = Unpacker::new(headers, limits.unpacked)?;
    if body.size_hint().lower() > limits.received {
        return Err(too_large());
    }
    let mut received = 0_u64;
    while let Some(piece) = next(body, limits.stall).await? {
        received += piece.len() as u64;
        if received > limits.received {
            return Err(too_large());
        }
        let mut piece = &piece[..];
        while !piece.is_empty() {
            let read = unpacker.feed(piece, &mut take)?;
            piece = &piece[read..];
            // A few packed bytes can be much work: others get their turn between one portion and the next.
            if unpacker.worked() >= PORTION {
                tokio::task::yield_now().await;
            }
        }
    }
    unpacker.finish(&mut take)
}

async fn next<B>(body: &mut B, stall: Duration) -> Result<Option<Bytes>, Error>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    loop {
        let frame = timeout(stall, body.frame()).await;
        let frame = frame.map_err(|_| Error::new(Kind::TooSlow, format!("no body data for {} s", stall.as_secs())))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Error::bad_data(format!("unable to read the body: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

async fn drain<B: HttpBody<Data = Bytes> + Unpin>(body: &mut B) {
    let all = async {
        let mut left = DRAINED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whether it ended or ran out of time: the answer goes out now.
    let _ = timeout(DRAIN_TIME_MAX, all).await;
}

/// A whole small body, such as a form.
pub(super) async fn collect<B>(body: B, headers: &HeaderMap, limits: Limits) -> Result<Vec<u8>, Error>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut whole = Vec::new();
    read(body, headers, limits, |piece| {
        whole.extend_from_slice(piece);
        Ok(())
    })
    .await?;
    Ok(whole)
}

/// Unpacked bytes after which others get their turn: a few milliseconds of work even where every byte is a bad line.
const PORTION: usize = 128 << 10;
/// Packed bytes taken at once: at gzip's best, a thousandfold, still few portions.
const PACKED_PORTION: usize = 256;

/// Takes off the content encoding.
enum Unpacker {
    Identity { left: u64 },
    Gzip { decoder: Box<MultiGzDecoder<Capped>>, started: bool },
}

impl Unpacker {
    fn new(headers: &HeaderMap, bytes_max: u64) -> Result<Self, Error> {
        let encoding = headers.get(CONTENT_ENCODING).map_or(Ok(""), |value| value.to_str()).unwrap_or("unreadable");
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity { left: bytes_max }),
            "gzip" | "x-gzip" => {
                let sink = Capped { out: Vec::new(), left: bytes_max, overrun: false, worked: 0 };
                Ok(Self::Gzip { decoder: Box::new(MultiGzDecoder::new(sink)), started: false })
            }
            other => Err(Error::new(Kind::Encoding, format!("Content-Encoding {other:?} is not known; use gzip"))),
        }
    }

    /// Takes some of a piece, which is not empty; how much.
    fn feed(&mut self, piece: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<usize, Error> {
        match self {
            Self::Identity { left } => {
                *left = left.checked_sub(piece.len() as u64).ok_or_else(unpacked_too_large)?;
                take(piece)?;
                Ok(piece.len())
            }
            Self::Gzip { decoder, started } => {
                *started = true;
                let some = &piece[..piece.len().min(PACKED_PORTION)];
                let read = decoder.write(some).map_err(|error| unpack_error(decoder.get_ref(), &error))?;
                pass_on(decoder.get_mut(), take)?;
                Ok(read)
            }
        }
    }

    /// Bytes unpacked since the last time this was at least a portion.
    fn worked(&mut self) -> usize {
        let Self::Gzip { decoder, .. } = self else { return 0 };
        let worked = decoder.get_ref().worked;
        if worked >= PORTION {
            decoder.get_mut().worked = 0;
        }
        worked
    }

    /// The last bytes. A body of no bytes at all is empty, whatever its encoding is said to be.
    fn finish(self, take: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            Self::Gzip { mut decoder, started: true } => {
                decoder.try_finish().map_err(|error| unpack_error(decoder.get_ref(), &error))?;
                pass_on(decoder.get_mut(), take)
            }
            Self::Gzip { started: false, .. } | Self::Identity { .. } => Ok(()),
        }
    }
}

fn pass_on(sink: &mut Capped, take: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    if !sink.out.is_empty() {
        take(&sink.out)?;
        sink.out.clear();
    }
    Ok(())
}

fn unpack_error(sink: &Capped, error: &io::Error) -> Error {
    if sink.overrun {
        return unpacked_too_large();
    }
    Error::bad_data(format!("unable to unpack the gzip body (damaged or cut short): {error}"))
}

fn unpacked_too_large() -> Error {
    Error::new(Kind::TooLarge, "Request Entity Too Large: the unpacked body is over the limit")
}

/// Takes at most so many bytes in all.
struct Capped {
    out: Vec<u8>,
    left: u64,
    overrun: bool,
    /// Bytes taken since others last had their turn.
    worked: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => {
                self.overrun = true;
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
        }
        self.out.extend_from_slice(bytes);
        self.worked += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body on its way out.
pub(super) enum Body {
    /// In one piece.
    Full(Option<Bytes>),
    /// Made while the client takes it, so that a large answer is never held as text.
    Pieces(Pieces, Option<Sending>),
}

/// A query whose answer is on its way: its memory is counted until the body goes, and it can still be ended.
pub(super) struct Sending {
    entry: Arc<Entry>,
    /// What is left of its time. Only the making of pieces takes of it: how long the client reads is the client's business.
    left: Duration,
    has_begun: bool,
}

impl Sending {
    /// The next piece, unless the query is to end. The first one goes out in any case: with it goes the head, and an answer
    /// without one says nothing to anybody.
    #[allow(clippy::disallowed_methods)] // the edge: deadlines
    fn next(&mut self, pieces: &mut Pieces) -> Result<Option<Vec<u8>>, BrokenOff> {
        let has_begun = std::mem::replace(&mut self.has_begun, true);
        if has_begun && self.entry.is_stopped() {
            return Err(BrokenOff);
        }
        let began = Instant::now();
        let piece = pieces.next();
        self.left = self.left.saturating_sub(began.elapsed());
        match has_begun && piece.is_some() && self.left.is_zero() {
            true => Err(BrokenOff),
            false => Ok(piece),
        }
    }
}

/// The rest of an answer is not sent, as the query was ended; the client sees its connection closed.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
pub(super) struct BrokenOff;

/// Text that is made while it is taken.
pub(super) type Pieces = Box<dyn Iterator<Item = Vec<u8>> + Send>;

impl Body {
    pub(super) fn empty() -> Self {
        Self::Full(None)
    }

    pub(super) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    pub(super) fn pieces(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self::Pieces(Box::new(pieces), None)
    }

    /// Says whose answer it is.
    #[allow(clippy::disallowed_methods)] // the edge: deadlines
    pub(super) fn of_query(mut self, entry: Arc<Entry>) -> Self {
        if let Self::Pieces(_, sending) = &mut self {
            entry.set_state(State::Sending);
            let left = entry.deadline().saturating_duration_since(Instant::now());
            *sending = Some(Sending { entry, left, has_begun: false });
        }
        self
    }

    /// Its text, piece by piece, and whose it is.
    pub(super) fn into_pieces(self) -> (Pieces, Option<Sending>) {
        match self {
            Self::Full(bytes) => (Box::new(bytes.into_iter().map(|bytes| bytes.to_vec())), None),
            Self::Pieces(pieces, sending) => (pieces, sending),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Full(None))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let piece = match &mut *self {
            Self::Full(bytes) => Ok(bytes.take()),
            Self::Pieces(pieces, None) => Ok(pieces.next().map(Bytes::from)),
            Self::Pieces(pieces, Some(sending)) => sending.next(pieces).map(|piece| piece.map(Bytes::from)),
        };
        Poll::Ready(piece.transpose().map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces(..) => SizeHint::default(),
        }
    }
}
