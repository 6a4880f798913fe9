//! `plimsoll serve`: a data directory behind a port, until a signal ends it.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};
use tracing_subscriber::EnvFilter;

use crate::{
    commands::Failed,
    config::{Listen, ServeFlags},
    disk::RealDisk,
    engine::{self, Engine},
    http::{self, Bound, Shared},
    ingest::{self, Ingest},
    metrics::Metrics,
};

/// Open files a server asks for: a connection and a part take one each. It gets less where the hard limit is lower.
const OPEN_FILES: u64 = 65_536;

pub(super) fn run(flags: &ServeFlags, settings: Vec<(String, String)>) -> Result<(), Failed> {
    log_to_stderr(&flags.log)?;
    if flags.recovery == engine::RecoveryPolicy::DryRun {
        let text =
            Engine::dry_run(Arc::new(RealDisk), flags.engine()).map_err(|error| open_failed(&flags.data, &error))?;
        return super::inspect::print(&text);
    }
    let server = Running::start(&flags.listen, flags.engine(), flags.ingest(), flags.http(settings))?;
    tracing::info!(
        address = %server.address, data = %flags.data.display(), durability = %flags.durability,
        version = env!("CARGO_PKG_VERSION"), "ready"
    );
    server.wait_for_signal()?;
    tracing::info!("stopping: finishing requests, writing what is in memory");
    server.stop()?;
    tracing::info!("stopped");
    Ok(())
}

pub(super) fn log_to_stderr(filter: &str) -> Result<(), Failed> {
    let filter = EnvFilter::try_new(filter).map_err(|error| Failed::new(format!("--log {filter:?}"), &error))?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    logger.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init();
    Ok(())
}

/// A server on threads of its own.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    runtime: Runtime,
    engine: Arc<Engine>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Takes the port, opens the directory, and answers from then on. The port comes first: where it is taken, nobody
    /// wants to wait for a recovery to hear of it.
    pub(super) fn start(
        listen: &Listen,
        engine: engine::Options,
        ingest: ingest::Options,
        http: http::Options,
    ) -> Result<Self, Failed> {
        raise_open_files();
        let bound = Bound::new(&listen.0).map_err(|error| bind_failed(listen, &error))?;
        let address = bound.address().map_err(|error| Failed::new("listen", &error))?;
        let metrics = Metrics::new();
        let dir = engine.dir.clone();
        let engine = Engine::open(Arc::new(RealDisk), engine, Arc::clone(&metrics))
            .map_err(|error| open_failed(&dir, &error))?;
        engine.start().map_err(|error| Failed::new("start", &error))?;
        let ingest = Ingest::new(Arc::clone(&engine), ingest);
        let shared = Shared::new(http, metrics, Arc::clone(&engine), ingest, now());
        let runtime = runtime().map_err(|error| Failed::new("start threads", &error))?;
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(bound.serve(shared, async {
            // A dropped sender means the same.
            let _ = stopped.await;
        }));
        Ok(Self { address, runtime, engine, stop, served })
    }

    /// Where clients on this machine find it.
    pub(super) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => [127, 0, 0, 1].into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// Sleeps until SIGTERM or SIGINT.
    pub(super) fn wait_for_signal(&self) -> Result<(), Failed> {
        use tokio::signal::unix::{SignalKind, signal};
        let wait = async {
            let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            Ok::<_, io::Error>(())
        };
        self.runtime.block_on(wait).map_err(|error| Failed::new("listen for signals", &error))
    }

    /// Stops accepting, lets requests finish, writes what is in memory to parts.
    pub(super) fn stop(self) -> Result<(), Failed> {
        // Where nobody listens any more the server has ended already, and its result says how.
        let _ = self.stop.send(());
        let served = self.runtime.block_on(self.served);
        self.runtime.shutdown_background();
        self.engine.close().map_err(|error| Failed::new("write what is in memory", &error))?;
        match served {
            Ok(result) => result.map_err(|error| Failed::new("serve", &error)),
            Err(error) => Err(Failed::new("serve", &error)),
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()
}

/// A thousand files, a common limit, are few for a server; a failure leaves it at that.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

fn bind_failed(listen: &Listen, error: &io::Error) -> Failed {
    let addresses: Vec<_> = listen.0.iter().map(ToString::to_string).collect();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port with --listen",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges: choose another one with --listen",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: choose another one with --listen",
        _ => "",
    };
    Failed(format!("cannot listen on {}: {error}{advice}", addresses.join(", ")))
}

fn open_failed(dir: &Path, error: &engine::Error) -> Failed {
    let mut failed = Failed::new(format!("cannot open the data directory {}", dir.display()), error);
    let advice = match io_kind(error) {
        Some(io::ErrorKind::PermissionDenied) => "; give this user the right to write there, or choose another --data",
        Some(io::ErrorKind::StorageFull) => "; the disk is full: make room, then start again",
        Some(io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => "; it is a file: choose another --data",
        _ => "",
    };
    failed.0 += advice;
    failed
}

/// The operating system's answer at the bottom of an error, if that is what it comes from.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
    io.or_else(|| io_kind(error.source()?))
}

#[allow(clippy::disallowed_methods)] // the edge: when the server started
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
