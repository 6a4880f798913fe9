//! Bodies that come: framing, packing, limits.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap,
    body::{Body, Frame},
};

use crate::http::{
    body::{Limits, collect, read},
    error::{Error, Kind},
};

const LIMITS: Limits = Limits { received: 10_000, unpacked: 100_000, stall: Duration::from_millis(50) };

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn headers(encoding: &str) -> HeaderMap {
    HeaderMap::from_iter([(hyper::header::CONTENT_ENCODING, encoding.parse().unwrap())])
}

/// A body of given frames; after the last it ends, or keeps its reader waiting.
struct Sent {
    frames: VecDeque<Bytes>,
    ends: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn sent(bytes: &[u8], frame: usize) -> Sent {
    Sent { frames: bytes.chunks(frame).map(Bytes::copy_from_slice).collect(), ends: true }
}

/// Sends `bytes` in frames of `frame` bytes and collects what arrives.
async fn send(bytes: &[u8], frame: usize, encoding: &str) -> Result<Vec<u8>, Error> {
    collect(sent(bytes, frame), &headers(encoding), LIMITS).await
}

#[tokio::test]
async fn a_body_arrives_whole_whatever_its_frames_and_encoding() {
    let text = b"cpu,host=a usage=1\n".repeat(400);
    let packed = gzip(&text);
    let members = [gzip(&text[..100]), gzip(b""), gzip(&text[100..])].concat();
    for frame in [1, 7, 1000, 100_000] {
        assert_eq!(send(&text, frame, "identity").await.unwrap(), text);
        assert_eq!(send(&packed, frame, "GZip").await.unwrap(), text);
        assert_eq!(send(&members, frame, "x-gzip").await.unwrap(), text);
    }
}

#[tokio::test]
async fn nothing_at_all_is_empty_under_every_encoding() {
    assert_eq!(send(b"", 1, "gzip").await.unwrap(), b"");
    assert_eq!(send(&gzip(b""), 3, "gzip").await.unwrap(), b"");
    assert_eq!(send(b"", 1, "identity").await.unwrap(), b"");
}

#[tokio::test]
async fn damaged_and_cut_gzip_is_bad_data() {
    let packed = gzip(&b"cpu,host=a usage=1\n".repeat(400));
    for cut in [1, 5, 10, packed.len() / 2, packed.len() - 8, packed.len() - 1] {
        assert_eq!(send(&packed[..cut], 11, "gzip").await.unwrap_err().kind, Kind::BadData, "cut at {cut}");
    }
    let mut flipped = packed.clone();
    let crc = packed.len() - 6;
    flipped[crc] ^= 1;
    assert_eq!(send(&flipped, 64, "gzip").await.unwrap_err().kind, Kind::BadData);
    assert_eq!(send(b"cpu usage=1\n", 64, "gzip").await.unwrap_err().kind, Kind::BadData);
    assert_eq!(send(&[&packed[..], b"rubbish behind"].concat(), 64, "gzip").await.unwrap_err().kind, Kind::BadData);
}

#[tokio::test]
async fn too_much_is_refused_on_the_wire_and_after_unpacking() {
    assert_eq!(send(&vec![b'x'; 10_001], 1000, "identity").await.unwrap_err().kind, Kind::TooLarge);
    let bomb = gzip(&vec![b'x'; 5_000_000]);
    assert!(bomb.len() < 10_000, "small on the wire");
    let (mut most, headers) = (0, headers("gzip"));
    let taken = read(sent(&bomb, 100_000), &headers, LIMITS, |piece| {
        most += piece.len();
        Ok(())
    });
    assert_eq!(taken.await.unwrap_err().kind, Kind::TooLarge);
    assert!(most <= 100_000, "{most} bytes got through");
}

#[tokio::test]
async fn a_stalled_body_and_an_unknown_encoding_are_told_apart() {
    let stalled = Sent { frames: VecDeque::from([Bytes::from_static(b"cpu ")]), ends: false };
    assert_eq!(collect(stalled, &HeaderMap::new(), LIMITS).await.unwrap_err().kind, Kind::TooSlow);
    let error = send(b"cpu usage=1\n", 64, "br").await.unwrap_err();
    assert_eq!((error.kind, error.message.contains("\"br\"")), (Kind::Encoding, true));
}
