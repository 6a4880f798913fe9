//! What a server has, asked over HTTP and held against what was sent.

use std::collections::HashMap;

use serde_json::Value;

use crate::commands::{
    Failed,
    client::Client,
    crashtest::{
        batch::{BatchId, DB, METRICS, SeriesId, Source},
        check::{Broken, Promise},
    },
};

/// A time long after the last batch, and a range from there to long before the first.
const TIME: &str = "1826690400";
const RANGE: &str = "730d";

/// The samples of each batch that are there, and what should not be.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    samples: HashMap<BatchId, u64>,
    pub(super) broken: Vec<Broken>,
}

impl Found {
    /// Reads everything back, one connection's samples at a time.
    pub(super) fn ask(client: &Client, source: Source, connections: u32) -> Result<Self, Failed> {
        let mut found = Self::default();
        found.take_names(&client.json("/api/v1/label/__name__/values", &[])?, |name| METRICS.contains(&name));
        let ours = |text: &str| text.parse::<u32>().is_ok_and(|connection| connection < connections);
        found.take_names(&client.json("/api/v1/label/connection/values", &[])?, ours);
        for connection in 0..connections {
            let query = format!("{{db=\"{DB}\",connection=\"{connection}\"}}[{RANGE}]");
            let answer = client.json("/api/v1/query", &[("query", &query), ("time", TIME)])?;
            for series in answer["data"]["result"].as_array().into_iter().flatten() {
                found.take_series(source, series);
            }
        }
        Ok(found)
    }

    /// Values of a label: each must be one that we write.
    fn take_names(&mut self, answer: &Value, is_ours: impl Fn(&str) -> bool) {
        for name in answer["data"].as_array().into_iter().flatten() {
            if !name.as_str().is_some_and(&is_ours) {
                self.broken.push(Broken::new(Promise::OnlySent, format!("a label has the value {name}")));
            }
        }
    }

    /// A series of a query's result, with its samples.
    pub(super) fn take_series(&mut self, source: Source, series: &Value) {
        let labels = &series["metric"];
        let Some(id) = SeriesId::of(labels) else {
            self.broken.push(Broken::new(Promise::OnlySent, format!("there is a series {labels}")));
            return;
        };
        for point in series["values"].as_array().into_iter().flatten() {
            let time = point[0].as_f64().map_or(i64::MIN, |seconds| (seconds * 1000.0).round() as i64);
            let value = point[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
            match source.place(id, time, value) {
                Some((batch, is_exact)) => {
                    *self.samples.entry(batch).or_default() += 1;
                    if !is_exact {
                        self.broken.push(Broken::new(Promise::Exact, format!("{point} of {labels}, in {batch}")));
                    }
                }
                None => self.broken.push(Broken::new(Promise::OnlySent, format!("there is {point} of {labels}"))),
            }
        }
    }

    /// How many samples of a batch are there.
    pub(super) fn samples(&self, batch: BatchId) -> u64 {
        self.samples.get(&batch).copied().unwrap_or(0)
    }

    /// Batches of which something is there.
    pub(super) fn batches(&self) -> impl Iterator<Item = BatchId> {
        self.samples.keys().copied()
    }
}
