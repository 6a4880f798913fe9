//! Answers: statuses, headers, bodies.

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY},
};

use crate::http::body::Body;

/// An answer.
pub(super) type Reply = Response<Body>;

/// 204 and nothing else.
pub(super) fn no_content() -> Reply {
    with_status(StatusCode::NO_CONTENT, Reply::new(Body::empty()))
}

/// 200 and a JSON text.
pub(super) fn json(text: impl Into<String>) -> Reply {
    typed("application/json", Body::full(text.into()))
}

/// 200 and plain text.
pub(super) fn text(text: impl Into<String>) -> Reply {
    typed("text/plain; charset=utf-8", Body::full(text.into()))
}

/// 200 and a body of this type.
pub(super) fn typed(content_type: &'static str, body: Body) -> Reply {
    let mut reply = Reply::new(body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// The same answer with another status.
pub(super) fn with_status(status: StatusCode, mut reply: Reply) -> Reply {
    *reply.status_mut() = status;
    reply
}

/// Adds a header whose value is ASCII.
pub(super) fn set(reply: &mut Reply, name: &'static str, value: &str) {
    reply.headers_mut().insert(HeaderName::from_static(name), ascii(value));
}

/// A header's value that we make.
pub(super) fn ascii(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("values we make are printable ASCII")
}

/// Packs the body with gzip where the client said it takes that.
pub(super) fn gzip_if_accepted(request: &HeaderMap, reply: Reply) -> Reply {
    if !accepts_gzip(request) || reply.body().is_empty() {
        return reply;
    }
    let (mut head, body) = reply.into_parts();
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    Reply::from_parts(head, body.gzip())
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut offers =
        request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    offers.any(|offer| {
        let (name, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}
