//! What went wrong, said in the shape each protocol's clients read.

use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};

use crate::http::{body::Body, json, reply::Reply};

/// Whose clients read the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// `{"status":"error","errorType":…,"error":…}`
    Prometheus,
    /// `{"error":…}` and `X-Influxdb-Error`
    Influx1,
    /// `{"code":…,"message":…,"error":…}` and `X-Platform-Error-Code`
    Influx2,
    /// `{"error":…}`; where lines are bad, with `data`
    Influx3,
    /// A line of text.
    Text,
}

/// The kinds of refusal; each is a row of [`Kind::row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BadData,
    NotFound,
    WrongMethod,
    TooSlow,
    Conflict,
    Gone,
    TooLarge,
    Encoding,
    Execution,
    Canceled,
    Internal,
    /// The server has the path, but does not offer what it does.
    Unavailable,
    Timeout,
    Overloaded,
}

impl Kind {
    /// Status, Prometheus's `errorType`, InfluxDB 2's `code`.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadData => (400, "bad_data", "invalid"),
            Self::NotFound => (404, "not_found", "not found"),
            Self::WrongMethod => (405, "bad_data", "method not allowed"),
            Self::TooSlow => (408, "timeout", "invalid"),
            Self::Conflict => (409, "conflict", "conflict"),
            Self::Gone => (410, "gone", "not found"),
            Self::TooLarge => (413, "bad_data", "request too large"),
            Self::Encoding => (415, "bad_data", "invalid"),
            Self::Execution => (422, "execution", "unprocessable entity"),
            Self::Canceled => (499, "canceled", "invalid"),
            Self::Internal => (500, "internal", "internal error"),
            Self::Unavailable => (500, "unavailable", "unavailable"),
            Self::Timeout => (503, "timeout", "unavailable"),
            Self::Overloaded => (503, "unavailable", "unavailable"),
        }
    }

    /// The status all protocols give it.
    pub(super) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).expect("the table's statuses are between 100 and 999")
    }
}

/// A refusal: a kind and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Error {
    pub(super) kind: Kind,
    pub(super) message: String,
    /// When the client may come again, in seconds.
    pub(super) retry_after: Option<u64>,
}

impl Error {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(Kind::BadData, message)
    }

    /// Prometheus's words for a parameter it cannot use.
    pub(super) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {reason}"))
    }

    /// Too much is going on; the client is to come again.
    pub(super) fn overloaded(message: impl Into<String>, retry_after: u64) -> Self {
        Self { kind: Kind::Overloaded, message: message.into(), retry_after: Some(retry_after.max(1)) }
    }

    /// The answer in the shape of `api`.
    pub(super) fn into_reply(self, api: Api) -> Reply {
        let (_, error_type, code) = self.kind.row();
        let text = match api {
            // A wrong method or path is plain text in Prometheus too: no handler was reached.
            Api::Text | Api::Prometheus if self.kind == Kind::WrongMethod => "Method Not Allowed\n".to_owned(),
            Api::Text => format!("{}\n", self.message),
            Api::Prometheus => {
                json::object(&[("status", "error"), ("errorType", error_type), ("error", &self.message)])
            }
            Api::Influx1 | Api::Influx3 => json::object(&[("error", &self.message)]) + "\n",
            Api::Influx2 => {
                json::object(&[("code", code), ("message", &self.message), ("error", &self.message)]) + "\n"
            }
        };
        let mut reply = Reply::new(Body::full(text));
        *reply.status_mut() = self.kind.status();
        let is_json = reply_is_json(api, self.kind);
        let content_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        match api {
            Api::Influx1 => drop(headers.insert("x-influxdb-error", header_text(&self.message))),
            Api::Influx2 => drop(headers.insert("x-platform-error-code", HeaderValue::from_static(code))),
            Api::Influx3 | Api::Prometheus | Api::Text => {}
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        reply
    }
}

fn reply_is_json(api: Api, kind: Kind) -> bool {
    match api {
        Api::Text => false,
        Api::Prometheus => kind != Kind::WrongMethod,
        Api::Influx1 | Api::Influx2 | Api::Influx3 => true,
    }
}

/// The first kilobyte as a header may carry it: newlines and what is not ASCII become spaces.
fn header_text(message: &str) -> HeaderValue {
    let printable = |byte: u8| if (b' '..=b'~').contains(&byte) { byte } else { b' ' };
    let text: Vec<u8> = message.bytes().take(1024).map(printable).collect();
    HeaderValue::from_bytes(&text).expect("printable ASCII is a valid header")
}
