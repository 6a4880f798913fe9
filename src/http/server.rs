//! Connections, and what happens around every request.

use std::{
    any::Any,
    convert::Infallible,
    net::{SocketAddr, TcpListener as StdListener},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap, Method, Request,
    body::Incoming,
    header::{ALLOW, CONNECTION, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::http::{
    Shared,
    error::{Api, Error, Kind},
    queries::Peer,
    reply::{self, Reply},
    routes::{self, Call, Route},
    shared::INFLUX_VERSION,
    socket::Socket,
};

/// Pause after a failed accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port that is ours, on which nobody is answered yet.
pub struct Bound {
    listener: StdListener,
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

impl Bound {
    /// Takes the port; a caller tells a person what a failure means.
    pub fn new(listen: &[SocketAddr]) -> std::io::Result<Self> {
        let listener = StdListener::bind(listen)?;
        // The standard library asks for a queue of 128; a fleet that reconnects at once needs more, or waits a second.
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// The address, with the port that was chosen where 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until `stop` is there; then lets running requests finish, within the limit of the options.
    pub async fn serve(self, shared: Arc<Shared>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let graceful = GracefulShutdown::new();
        let seats = Arc::new(Semaphore::new(shared.options.connections_max));
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => welcome(stream, peer, &seats, &shared, &graceful),
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        if timeout(shared.options.shutdown_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not finish in time and are cut off");
        }
        Ok(())
    }
}

/// Serves a connection in a task of its own; one without a seat gets a single answer, 503.
fn welcome(
    stream: TcpStream,
    address: SocketAddr,
    seats: &Arc<Semaphore>,
    shared: &Arc<Shared>,
    graceful: &GracefulShutdown,
) {
    // Without it a small answer may wait 40 ms for the client's delayed acknowledgement. A failure only means that.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, shared.options.send_timeout, Arc::clone(&shared.metrics));
    let peer = Peer { address, client: socket.client() };
    let seat = Arc::clone(seats).try_acquire_owned().ok();
    let (server, has_seat) = (Arc::clone(shared), seat.is_some());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(if has_seat { answer(server, request).await } else { no_seat() }) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.options.header_timeout)
        .keep_alive(has_seat)
        .serve_connection(TokioIo::new(socket), service);
    let connection = graceful.watch(connection);
    let metrics = Arc::clone(&shared.metrics);
    tokio::spawn(async move {
        metrics.http_connections.inc();
        if let Err(error) = connection.await {
            // Clients that vanish or speak something else are their own business.
            tracing::debug!(%error, "connection ended");
        }
        metrics.http_connections.dec();
        drop(seat);
    });
}

fn no_seat() -> Reply {
    let mut reply = Error::overloaded("too many connections", 1).into_reply(Api::Influx1);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

#[allow(clippy::disallowed_methods)] // the edge: how long requests take
async fn answer(server: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let started = Instant::now();
    let origin = request.headers().contains_key(ORIGIN);
    let request_id = request.headers().get("x-request-id").cloned();
    let (route, mut reply) = dispatch(&server, request).await;
    let (name, api) = route.map_or(("unknown", Api::Text), |route| (route.name, route.api));
    if matches!(api, Api::Influx1 | Api::Influx2 | Api::Influx3) {
        mark_as_influx(reply.headers_mut(), request_id.unwrap_or_else(|| server.next_request_id()));
    }
    if origin && !reply.headers().contains_key("access-control-allow-origin") {
        allow_origin(reply.headers_mut(), api);
    }
    server.traffic.note(route, name, reply.status(), started.elapsed());
    reply
}

/// Finds the row and lets it answer; what has no row, or not this method, is answered here.
async fn dispatch(server: &Arc<Shared>, request: Request<Incoming>) -> (Option<&'static Route>, Reply) {
    let (head, body) = request.into_parts();
    let found = routes::find(head.uri.path());
    let route = found.map(|(route, _)| route);
    if head.method == Method::OPTIONS {
        return (route, preflight(route));
    }
    let Some((row, segment)) = found else {
        let api = routes::api_of_unknown(head.uri.path());
        return (None, Error::new(Kind::NotFound, "404 page not found").into_reply(api));
    };
    if !row.takes(&head.method) {
        return (route, wrong_method(row, &head.method));
    }
    let reply = match routes::decode_segment(segment) {
        Ok(segment) => run(row, Call { server: Arc::clone(server), segment, head, body }).await,
        Err(error) => error.into_reply(row.api),
    };
    (route, reply)
}

async fn run(row: &Route, call: Call) -> Reply {
    let server = Arc::clone(&call.server);
    match Caught((row.handle)(call)).await {
        Ok(answer) => answer.unwrap_or_else(|error| error.into_reply(row.api)),
        Err(panic) => {
            server.metrics.http_panics.inc();
            tracing::error!(handler = row.name, panic = panic_text(&*panic), "a handler panicked");
            Error::new(Kind::Internal, "internal error: the handler panicked").into_reply(row.api)
        }
    }
}

fn wrong_method(row: &Route, method: &Method) -> Reply {
    let message = format!("method {method} not allowed; use {}", row.allow());
    let mut reply = Error::new(Kind::WrongMethod, message).into_reply(row.api);
    reply::set(&mut reply, ALLOW.as_str(), &row.allow());
    reply
}

/// The answer to OPTIONS: what a page from elsewhere may do. Paths are not told apart, as in Prometheus.
fn preflight(route: Option<&Route>) -> Reply {
    let mut reply = reply::no_content();
    allow_origin(reply.headers_mut(), route.map_or(Api::Text, |route| route.api));
    let allow = route.map_or_else(|| "GET, POST, OPTIONS".to_owned(), Route::allow);
    reply::set(&mut reply, ALLOW.as_str(), &allow);
    reply
}

/// What pages from elsewhere may send and see. On Prometheus's paths that is what Prometheus lets them.
fn allow_origin(headers: &mut HeaderMap, api: Api) {
    let (sent, seen) = match api {
        Api::Prometheus | Api::Text => ("Accept, Authorization, Content-Type, Origin", "Date"),
        Api::Influx1 | Api::Influx2 | Api::Influx3 => (
            "Accept, Accept-Encoding, Authorization, Content-Encoding, Content-Type, Durability, Origin",
            "Date, X-Influxdb-Version, X-Influxdb-Build, Durability-Level, Durability-Position, \
             Durability-Window-Process-Ms, Durability-Window-Power-Ms, Accepted-Samples, Rejected-Samples, \
             Rejected-Lines",
        ),
    };
    headers.insert("access-control-allow-headers", HeaderValue::from_static(sent));
    headers.insert("access-control-allow-methods", HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    headers.insert("access-control-expose-headers", HeaderValue::from_static(seen));
    headers.append("vary", HeaderValue::from_static("Origin"));
}

fn mark_as_influx(headers: &mut HeaderMap, request_id: HeaderValue) {
    headers.insert("x-influxdb-version", HeaderValue::from_static(INFLUX_VERSION));
    headers.insert("x-influxdb-build", HeaderValue::from_static("Plimsoll"));
    headers.insert("request-id", request_id.clone());
    headers.insert("x-request-id", request_id);
}

/// A future whose panic is a value, so that one request's bug is one request's 500.
pub(super) struct Caught<F>(pub(super) F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
