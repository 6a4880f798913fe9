//! Which coding an answer gets, and that it can be unpacked.

use http_body_util::BodyExt;
use hyper::HeaderMap;

use crate::http::{
    body::Body,
    pack::{Coding, as_accepted},
    reply,
};

fn headers(accept: &[&str]) -> HeaderMap {
    accept.iter().map(|accept| ("accept-encoding".parse().unwrap(), accept.parse().unwrap())).collect()
}

#[test]
fn the_client_gets_the_coding_it_likes_best() {
    for none in ["identity", "br, deflate", "gzip;q=0", "gzip; q=0.0", "", "gzip;q=0.5, identity", "*;q=0", "gzip;q=x"]
    {
        assert_eq!(Coding::wanted(&headers(&[none])), None, "{none}");
    }
    for gzip in ["gzip", "deflate, GZIP;q=0.5", "br, gzip", "gzip, zstd;q=0.9", "zstd;q=0, *", "gzip;level=9;q=0.3"] {
        assert_eq!(Coding::wanted(&headers(&[gzip])), Some(Coding::Gzip), "{gzip}");
    }
    for zstd in ["zstd", "gzip, deflate, br, zstd", "gzip;q=0.8, zstd;q=0.9", "*", "identity;q=0.5, zstd;q=0.5"] {
        assert_eq!(Coding::wanted(&headers(&[zstd])), Some(Coding::Zstd), "{zstd}");
    }
    assert_eq!(Coding::wanted(&headers(&["gzip;q=0.1", "zstd;q=0.2"])), Some(Coding::Zstd), "two headers are one list");
}

#[tokio::test]
async fn both_codings_unpack_to_what_went_in() {
    for (accept, in_pieces) in [("gzip", false), ("gzip", true), ("zstd", false), ("zstd", true)] {
        let text = "some text ".repeat(10_000).into_bytes();
        let chunks: Vec<_> = text.chunks(777).map(<[u8]>::to_vec).collect();
        let body = if in_pieces { Body::pieces(chunks.into_iter()) } else { Body::full(text.clone()) };
        let reply = as_accepted(&headers(&[accept]), reply::typed("text/plain", body));
        assert_eq!(reply.headers()["content-encoding"], accept);
        assert_eq!(reply.headers()["vary"], "Accept-Encoding");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() < text.len() / 10, "{accept}: {} bytes", body.len());
        let mut unpacked = Vec::new();
        match accept {
            "gzip" => {
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*body), &mut unpacked).unwrap();
            }
            _ => zstd::stream::copy_decode(&*body, &mut unpacked).unwrap(),
        }
        assert_eq!(unpacked, text, "{accept}");
    }
    let empty = as_accepted(&headers(&["gzip"]), reply::no_content());
    assert!(!empty.headers().contains_key("content-encoding"));
}
