//! Answers: statuses, headers, bodies.

use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
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
