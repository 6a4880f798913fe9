//! A cell: one query at every server, in turn, with other hosts and times in every round.

use std::time::Instant;

use crate::{
    compare::Answer,
    data::DataSet,
    queries::{Agreement, Asked, Query},
    servers::{Kind, Server},
};

/// Rounds before those that count; answers are compared in them. Of a server that takes longer than [`SLOW_MILLIS`]
/// there is one.
const WARM_UP_ROUNDS: u64 = 3;
/// Rounds that count.
const ROUNDS: [usize; 2] = [15, 301];
/// The same where one takes longer than [`SLOW_MILLIS`].
const SLOW_ROUNDS: usize = 3;
const SLOW_MILLIS: f64 = 1000.0;

/// What one server did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Milliseconds of every round from the request's first byte to the answer's last.
    millis: Vec<f64>,
    /// CPU time of a query, what the server did of its own included.
    pub(crate) cpu_millis: f64,
    /// The most memory it had meanwhile.
    pub(crate) peak_mib: f64,
    /// The most memory a query of ours held at once by its own account, in KiB; none where that is not kept.
    pub(crate) held_kib: Option<f64>,
    /// Of the last answer.
    pub(crate) bytes: usize,
    /// Series or names in the last answer that was compared.
    pub(crate) entries: usize,
    /// Milliseconds of the warm-up rounds.
    warm_up_millis: Vec<f64>,
}

impl Figures {
    /// The time in which this share of the rounds was answered.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.millis.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    /// How many rounds counted.
    pub(crate) fn rounds(&self) -> usize {
        self.millis.len()
    }

    fn is_slow(&self) -> bool {
        self.expected_millis().is_some_and(|millis| millis > SLOW_MILLIS)
    }

    /// How long a round takes, as far as is known.
    fn expected_millis(&self) -> Option<f64> {
        self.warm_up_millis.iter().copied().reduce(f64::min)
    }

    fn rounds_wanted(&self, seconds: f64) -> usize {
        let affordable = self.expected_millis().map_or(0, |millis| (seconds * 1000.0 / millis) as usize);
        let [least, most] = if self.is_slow() { [SLOW_ROUNDS; 2] } else { ROUNDS };
        affordable.clamp(least, most)
    }
}

/// What all did.
pub(crate) struct Cell {
    pub(crate) query: &'static Query,
    /// As the servers were given; an error where one did not answer.
    pub(crate) figures: Vec<(Kind, Result<Figures, String>)>,
    /// Differences of a peer's answers to ours.
    pub(crate) differences: Vec<(Kind, String)>,
}

/// Measures a query for about so many seconds at each server.
pub(crate) fn run(query: &'static Query, set: &DataSet, servers: &[Server], seconds: f64) -> Cell {
    let mut cell = Cell {
        query,
        figures: servers.iter().map(|server| (server.kind, Ok(Figures::default()))).collect(),
        differences: Vec::new(),
    };
    for round in 0..WARM_UP_ROUNDS {
        cell.warm_up(servers, &query.ask(set, round));
    }
    let before: Vec<_> = servers.iter().map(Server::cpu_seconds).collect();
    servers.iter().for_each(Server::forget_peak);
    let started = Instant::now();
    cell.measure(servers, set, seconds);
    let took = started.elapsed();
    for ((server, before), (_, figures)) in servers.iter().zip(before).zip(&mut cell.figures) {
        if let Ok(figures) = figures {
            figures.cpu_millis = (server.cpu_seconds() - before) * 1000.0 / figures.rounds() as f64;
            figures.peak_mib = server.peak_mib();
            figures.held_kib = server.held_bytes(took).map(|bytes| bytes as f64 / 1024.0);
        }
    }
    cell
}

impl Cell {
    /// Where it was measured.
    pub(crate) fn of(&self, kind: Kind) -> Option<&Figures> {
        self.figures.iter().find(|(other, _)| *other == kind)?.1.as_ref().ok()
    }

    fn warm_up(&mut self, servers: &[Server], asked: &Asked) {
        let mut ours = None;
        for (server, (kind, result)) in servers.iter().zip(&mut self.figures) {
            let Some(figures) = result.as_mut().ok().filter(|figures| !figures.is_slow()) else { continue };
            let answered = ask(server, asked).and_then(|(millis, body)| Ok((millis, Answer::parse(&body)?)));
            let answer = match answered {
                Ok((millis, answer)) => {
                    figures.warm_up_millis.push(millis);
                    figures.entries = answer.len();
                    answer
                }
                Err(error) => {
                    *result = Err(error);
                    continue;
                }
            };
            match (&ours, *kind) {
                (_, Kind::Plimsoll) => ours = Some(answer),
                (Some(ours), peer) => {
                    let difference = answer.difference(ours, self.query.agreement_with(peer));
                    self.differences.extend(difference.map(|what| (peer, format!("{what}; asked: {}", asked.form))));
                }
                (None, _) => {}
            }
        }
    }

    /// A server takes part in as many rounds as it has time for, spread over all of them; the first of a round is
    /// another each time.
    fn measure(&mut self, servers: &[Server], set: &DataSet, seconds: f64) {
        let wanted = |figures: &Result<Figures, String>| figures.as_ref().map_or(0, |f| f.rounds_wanted(seconds));
        let wanted: Vec<_> = self.figures.iter().map(|(_, figures)| wanted(figures)).collect();
        let rounds = wanted.iter().copied().max().unwrap_or(0);
        for round in 0..rounds {
            let asked = self.query.ask(set, WARM_UP_ROUNDS + round as u64);
            for place in 0..servers.len() {
                let index = (place + round) % servers.len();
                let takes_part = (round + 1) * wanted[index] / rounds > round * wanted[index] / rounds;
                let (_, result) = &mut self.figures[index];
                if let (true, Ok(figures)) = (takes_part, &mut *result) {
                    match ask(&servers[index], &asked) {
                        Ok((millis, body)) => {
                            figures.millis.push(millis);
                            figures.bytes = body.len();
                        }
                        Err(error) => *result = Err(error),
                    }
                }
            }
        }
    }
}

impl Query {
    fn agreement_with(&self, peer: Kind) -> Agreement {
        match (peer, self.victoria) {
            (Kind::VictoriaMetrics, Some((agreement, _))) => agreement,
            _ => self.agreement,
        }
    }
}

/// How long a server took, in milliseconds, and its answer.
fn ask(server: &Server, asked: &Asked) -> Result<(f64, Vec<u8>), String> {
    let form = match (&asked.short_forms, server.kind) {
        (Some(forms), Kind::Plimsoll) => &forms.plimsoll,
        (Some(forms), Kind::VictoriaMetrics) => &forms.victoria,
        _ => &asked.form,
    };
    let started = Instant::now();
    let body = if form.is_empty() { server.get(&asked.path) } else { server.ask(&asked.path, form) }?;
    Ok((started.elapsed().as_secs_f64() * 1000.0, body))
}
