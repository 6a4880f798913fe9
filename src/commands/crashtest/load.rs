//! The load: connections that write at once, each its own batches in turn, until the server is gone.

use std::time::{Duration, Instant};

use crate::{
    commands::{
        Failed,
        crashtest::{
            batch::{BatchId, DB, Source},
            child::Server,
            history::{Answer, Fate, Receipt, Sent},
        },
    },
    durability::AckLevel,
    metrics::Label,
};

/// No answer takes longer, unless the server hangs.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A client that is refused stays away for so long.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// One round of load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) source: Source,
    pub(super) connections: u32,
    /// The first batch of each connection.
    pub(super) first: u64,
    /// Until the server is killed.
    pub(super) duration: Duration,
    /// Longest pause between two requests of a connection.
    pub(super) pause: Duration,
    /// Whether some requests ask for a deeper level than the mode's own. They make everything before them safe, too, so
    /// that little would ever be at risk if all rounds had some.
    pub(super) is_mixed: bool,
}

impl Load {
    /// Writes until the server is killed; what was sent, and when that was, since the start of the test.
    pub(super) fn run(self, server: Server, clock: Instant) -> Result<(Vec<Sent>, Duration), Failed> {
        let url = format!("{}/write?db={DB}&precision=ms", server.url);
        std::thread::scope(|scope| {
            let connect = |connection| {
                let url = url.as_str();
                scope.spawn(move || self.connection(connection, url, clock))
            };
            let connections: Vec<_> = (0..self.connections).map(connect).collect();
            std::thread::sleep(self.duration);
            // Taken before the kill, so that no loss looks older than it is.
            let crashed = clock.elapsed();
            let killed = server.kill();
            let sent = connections.into_iter().flat_map(|thread| thread.join().expect("a connection does not panic"));
            let sent = sent.collect();
            killed.map(|()| (sent, crashed))
        })
    }

    /// Writes batch after batch until no answer comes.
    fn connection(self, connection: u32, url: &str, clock: Instant) -> Vec<Sent> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let agent = ureq::Agent::from(config.build());
        let mut rng = fastrand::Rng::with_seed(self.source.seed ^ u64::from(connection) ^ (self.first << 8));
        let mut all = Vec::new();
        for number in self.first.. {
            let batch = BatchId { connection, number };
            let asked = self.level(&mut rng);
            let answer = write(&agent, url, asked, &self.source.body(batch), clock);
            let pause = match answer {
                Answer::Refused(_) => REFUSED_PAUSE,
                _ => self.pause.mul_f64(rng.f64()),
            };
            let is_gone = answer == Answer::None;
            all.push(Sent { batch, samples: self.source.samples(batch), asked, answer, fate: Fate::Open });
            if is_gone {
                break;
            }
            std::thread::sleep(pause);
        }
        all
    }

    fn level(self, rng: &mut fastrand::Rng) -> Option<AckLevel> {
        let levels = if self.is_mixed { AckLevel::ALL } else { &AckLevel::ALL[..1] };
        levels.get(rng.usize(..=levels.len())).copied()
    }
}

fn write(agent: &ureq::Agent, url: &str, asked: Option<AckLevel>, body: &str, clock: Instant) -> Answer {
    let mut request = agent.post(url);
    if let Some(level) = asked {
        request = request.header("durability", level.text());
    }
    let Ok(mut answer) = request.send(body) else { return Answer::None };
    let at = clock.elapsed();
    // Read to the end, so that the connection can be used again.
    let text = answer.body_mut().read_to_string();
    match answer.status().as_u16() {
        204 => Receipt::parse(|name| answer.headers().get(name)?.to_str().ok())
            .map_or_else(Answer::Unreadable, |receipt| Answer::Acknowledged(receipt, at)),
        _ if text.is_err() => Answer::None,
        status => Answer::Refused(status),
    }
}
