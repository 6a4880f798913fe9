//! What a run says.

use crate::{
    data::DataSet,
    markdown::Markdown,
    measure::{Cell, Figures},
    process::cpus,
    servers::{Kind, Server},
};

/// A query that takes VictoriaMetrics longer is a heavy one.
const HEAVY_MILLIS: f64 = 10.0;
/// The most of VictoriaMetrics' time that a heavy query may take here, and a light one.
const HEAVY_RATIO: f64 = 0.5;
const LIGHT_RATIO: f64 = 1.0;

impl Markdown {
    /// What the figures depend on.
    pub(crate) fn preface(&mut self, command: &str, set: &DataSet, servers: &[Server], missing: &[Kind]) {
        self.line("# What queries cost\n");
        self.line(
            "The devops queries of TSBS in PromQL, and others, at the release binary and two peers that hold the same \
             samples (counted after the load). A query has other hosts and another time in every round, the same at \
             every server; servers take turns. Times are from the request's first byte to the answer's last over a \
             connection that is kept, on loopback; the one who asks shares the cores. Results are not cached: \
             VictoriaMetrics runs with `-search.disableCache`, the others have no such cache. Files are, in the page \
             cache.\n",
        );
        self.date_and_commit();
        self.line(&format!("- CPUs: {}", cpus()));
        self.line(&format!("- Data: {set}; {:.2} M samples", set.samples() as f64 / 1e6));
        for server in servers {
            let bytes = server.disk_bytes() as f64;
            let (mib, each) = (bytes / f64::from(1 << 20), bytes / set.samples() as f64);
            self.line(&format!("- On disk, {}: {mib:.1} MiB, {each:.2} bytes a sample", server.kind));
        }
        for kind in missing {
            self.line(&format!("- {kind}: left out or not installed (Debian's package {})", kind.package()));
        }
        self.line(&format!("- Again: `{command}`"));
    }

    /// Share of the cores that was not the servers' and not this process's.
    pub(crate) fn others(&mut self, share: f64) {
        self.line(&format!("\nOther processes took {:.0} % of the cores meanwhile.", share * 100.0));
    }

    /// The queries' times.
    pub(crate) fn speed(&mut self, cells: &[Cell]) {
        self.section("Time: p50 / p90 in ms");
        self.row(&[
            "query",
            "Plimsoll",
            "VictoriaMetrics",
            "Prometheus",
            "to VM",
            "to Prometheus",
            "target",
            "",
            "same",
        ]);
        self.rule(9);
        for cell in cells {
            let time = |kind| cell.of(kind).map_or("-".to_owned(), times);
            let to_victoria = cell.ratio(Kind::VictoriaMetrics);
            let shown = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let (target, verdict) = cell.verdict();
            self.row(&[
                cell.query.name,
                &time(Kind::Plimsoll),
                &time(Kind::VictoriaMetrics),
                &time(Kind::Prometheus),
                &shown(to_victoria),
                &shown(cell.ratio(Kind::Prometheus)),
                &target,
                verdict,
                &cell.same(),
            ]);
        }
    }

    /// What the queries took besides time.
    pub(crate) fn cost(&mut self, cells: &[Cell]) {
        self.section("Cost, of Plimsoll / VictoriaMetrics / Prometheus");
        self.line(
            "CPU time of a query includes what a server does on its own meanwhile. Memory is the most the process had \
             in the rounds that count, its mapped files included; memory of a query is the most that the costliest \
             one here held at once, its answer included.\n",
        );
        self.row(&[
            "query",
            "what",
            "rounds",
            "CPU ms a query",
            "peak MiB",
            "KiB a query (Plimsoll)",
            "answer KiB",
            "series or names",
        ]);
        self.rule(8);
        for cell in cells {
            let all = |show: fn(&Figures) -> String| {
                let shown = Kind::ALL.iter().map(|kind| cell.of(*kind).map_or("-".to_owned(), show));
                shown.collect::<Vec<_>>().join(" / ")
            };
            let held = cell.of(Kind::Plimsoll).and_then(|figures| figures.held_kib);
            let held = held.map_or("-".to_owned(), |kib| format!("{kib:.0}"));
            self.row(&[
                cell.query.name,
                cell.query.about,
                &all(|f| f.rounds().to_string()),
                &all(|f| format!("{:.2}", f.cpu_millis)),
                &all(|f| format!("{:.0}", f.peak_mib)),
                &held,
                &all(|f| format!("{:.1}", f.bytes as f64 / 1024.0)),
                &all(|f| f.entries.to_string()),
            ]);
        }
    }

    /// Why some answers may differ, and those that do and may not.
    pub(crate) fn notes(&mut self, cells: &[Cell]) {
        self.section("Answers");
        self.line(
            "`same`: in three rounds of every query (one where a server takes over a second), all answers are equal to \
             1e-9 relative, label by label and time by time. Where several fields are asked for, VictoriaMetrics gets \
             the shorter query TSBS has for it, and its metric names are taken for the label `field`. `topk` is \
             compared by values, since either of two series that are as great is right.\n",
        );
        for cell in cells {
            if let Some((_, why)) = cell.query.victoria {
                self.line(&format!("- {} at VictoriaMetrics: {why}", cell.query.name));
            }
            for (kind, figures) in &cell.figures {
                if let Err(error) = figures {
                    self.line(&format!("- **{} at {kind}: no answer: {error}**", cell.query.name));
                }
            }
            for (peer, what) in &cell.differences {
                self.line(&format!("- **{} at {peer} (first) and here (second): {what}**", cell.query.name));
            }
        }
    }
}

impl Cell {
    /// Our median time to a peer's.
    fn ratio(&self, peer: Kind) -> Option<f64> {
        Some(self.of(Kind::Plimsoll)?.quantile(0.5) / self.of(peer)?.quantile(0.5))
    }

    /// What was to be reached, and whether it was.
    fn verdict(&self) -> (String, &'static str) {
        let (Some(victoria), Some(ratio)) = (self.of(Kind::VictoriaMetrics), self.ratio(Kind::VictoriaMetrics)) else {
            return ("-".to_owned(), "");
        };
        let bound = if victoria.quantile(0.5) > HEAVY_MILLIS { HEAVY_RATIO } else { LIGHT_RATIO };
        (format!("≤ {bound:.1}"), if ratio <= bound { "kept" } else { "**missed**" })
    }

    fn same(&self) -> String {
        let wrong = |kind: &Kind| self.differences.iter().any(|(peer, _)| peer == kind);
        let peers = self.figures.iter().filter(|(kind, figures)| *kind != Kind::Plimsoll && figures.is_ok());
        let wrong: Vec<_> = peers.map(|(kind, _)| *kind).filter(wrong).map(|kind| kind.to_string()).collect();
        match (self.figures.iter().all(|(_, figures)| figures.is_ok()), wrong.as_slice()) {
            (false, _) => "**no answer**".to_owned(),
            (true, []) if self.query.victoria.is_some() => "yes (note)".to_owned(),
            (true, []) => "yes".to_owned(),
            (true, wrong) => format!("**not {}**", wrong.join(", ")),
        }
    }

    /// Whether every server answered, and the same.
    pub(crate) fn is_sound(&self) -> bool {
        self.differences.is_empty() && self.figures.iter().all(|(_, figures)| figures.is_ok())
    }
}

fn times(figures: &Figures) -> String {
    let digits = if figures.quantile(0.5) < 10.0 { 2 } else { 0 };
    format!("{:.digits$} / {:.digits$}", figures.quantile(0.5), figures.quantile(0.9))
}
