//! Answers packed as their clients take them: zstd or gzip, piece by piece.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY},
};

use crate::http::{
    body::{Body, Pieces},
    reply::Reply,
};

/// What an answer can be packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    /// In the order in which we choose where the client does not care.
    const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the client likes best of these; `None` where it would rather have the answer as it is.
    pub(super) fn wanted(request: &HeaderMap) -> Option<Self> {
        let offers = Offers::of(request);
        let as_it_is = offers.weight("identity").unwrap_or(0.0);
        let mut best = None;
        for coding in Self::ALL {
            let weight = offers.weight(coding.name()).or(offers.weight("*")).unwrap_or(0.0);
            if weight > best.map_or(0.0, |(_, weight)| weight) && weight >= as_it_is {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }
}

/// Names and weights of `Accept-Encoding`.
struct Offers<'a>(Vec<(&'a str, f32)>);

impl<'a> Offers<'a> {
    fn of(request: &'a HeaderMap) -> Self {
        let lists = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let offers = lists.flat_map(|list| list.split(',')).map(|offer| {
            let (name, parameters) = offer.split_once(';').unwrap_or((offer, ""));
            let weight = parameters.split(';').find_map(|parameter| {
                let (key, value) = parameter.split_once('=')?;
                key.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
            });
            (name.trim(), weight.unwrap_or(1.0))
        });
        Self(offers.collect())
    }

    fn weight(&self, name: &str) -> Option<f32> {
        self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight)
    }
}

/// Packs the body as the client likes it best.
pub(super) fn as_accepted(request: &HeaderMap, reply: Reply) -> Reply {
    let Some(coding) = Coding::wanted(request).filter(|_| !reply.body().is_empty()) else { return reply };
    let (mut head, body) = reply.into_parts();
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    Reply::from_parts(head, packed(body, coding))
}

fn packed(body: Body, coding: Coding) -> Body {
    let (pieces, sending) = body.into_pieces();
    Body::Pieces(Box::new(Packed { pieces, packer: Some(Packer::new(coding)) }), sending)
}

struct Packed {
    pieces: Pieces,
    /// Gone once the last of it is out.
    packer: Option<Packer>,
}

impl Iterator for Packed {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        const NEVER: &str = "a Vec takes all bytes";
        loop {
            let Some(piece) = self.pieces.next() else {
                return Some(self.packer.take()?.finish().expect(NEVER));
            };
            let packer = self.packer.as_mut()?;
            packer.write_all(&piece).expect(NEVER);
            // An empty frame would be a wasted write; a packer keeps small pieces back.
            let out = packer.out();
            if !out.is_empty() {
                return Some(std::mem::take(out));
            }
        }
    }
}

enum Packer {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Packer {
    /// The fastest level of either: an answer is packed once and read once.
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1).expect("1 is a level of zstd")),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
        }
    }

    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(piece),
            Self::Gzip(encoder) => encoder.write_all(piece),
        }
    }

    /// What is packed and not taken yet.
    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}
