//! The evaluator alone: queries over series in memory, 1,000 hosts of a day at 10 s, a step of a minute.

#[allow(unreachable_pub)] // as every bench includes it
#[path = "common/mod.rs"]
mod common;

use std::sync::Arc;

use common::{Case, interleaved};
use plimsoll::{
    model::Labels,
    promql::{Options, parse, range},
    select::{Batch, Error, Request, Series, Source},
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Series in memory; reading one costs a copy.
struct Memory(Vec<Series>);

impl Source for Memory {
    fn batches<'a>(&'a self, request: &Request<'a>) -> Result<Vec<Batch<'a>>, Error> {
        let Request { matchers, range, .. } = *request;
        let passes = |series: &&Series| matchers.iter().all(|m| m.matches(series.labels.get(&m.name)));
        Ok(vec![Box::new(self.0.iter().filter(passes).map(move |series| {
            let inside = range.indices_in(&series.times);
            let times = match inside.len() == series.times.len() {
                true => Arc::clone(&series.times),
                false => series.times[inside.clone()].to_vec().into(),
            };
            let values = series.values[inside].to_vec();
            Ok(Series { times, ..Series::new(series.labels.clone(), [], values) })
        }))])
    }
}

fn hosts(count: usize) -> Memory {
    let times: Arc<Vec<i64>> = (0..DAY / 10).map(|index| index * 10 * SECOND).collect::<Vec<_>>().into();
    let series = (0..count).map(|host| {
        let (name, region) = (format!("host_{host}"), format!("region_{}", host % 10));
        let labels = [("__name__", "cpu_seconds_total"), ("host", &name), ("region", &region)];
        let values = (0..times.len()).map(|index| (index * (host % 7 + 1) % 5000) as f64).collect();
        Series { times: times.clone(), ..Series::new(Labels::from(labels), [], values) }
    });
    Memory(series.collect())
}

fn main() {
    let source = hosts(1000);
    let samples = 1000.0 * (DAY / 10) as f64;
    let queries = [
        "cpu_seconds_total{host=\"host_1\"}",
        "count(cpu_seconds_total)",
        "sum by (region) (cpu_seconds_total)",
        "sum by (region) (rate(cpu_seconds_total[5m]))",
        "max(avg_over_time(cpu_seconds_total[1h]))",
        "max(max_over_time(cpu_seconds_total[1h]))",
        "max(quantile_over_time(0.9, cpu_seconds_total[5m]))",
        "topk(5, cpu_seconds_total)",
        "rate(cpu_seconds_total[5m]) / on (host) cpu_seconds_total",
    ];
    let cases = queries.map(|query| {
        let expr = parse(query).expect("the query is a good one");
        let source = &source;
        let run = move || {
            let answer = range(source, &expr, 0, DAY * SECOND, 60 * SECOND, &Options::default());
            std::hint::black_box(answer.expect("the query has an answer"));
        };
        Case { name: query.to_owned(), units: samples, bytes: 0.0, run: Box::new(run) as Box<dyn FnMut()> }
    });
    interleaved("PromQL over 8.64 M samples in memory", "stored sample", 5, cases.into());
}
