//! What is asked: the devops queries of TSBS in PromQL, and what dashboards ask besides.

use fastrand::Rng;

use crate::{
    data::{DataSet, INTERVAL},
    devops::FIELD_NAMES,
};

/// Seconds.
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// How answers have to agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Agreement {
    /// The same series with the same values, but for this relative difference.
    Series(f64),
    /// The same values at each time; which series has them may differ where several are as great.
    Values,
}

/// Sums are taken in other orders.
const EXACT: Agreement = Agreement::Series(1e-9);

/// One question with its variants.
pub(crate) struct Query {
    pub(crate) name: &'static str,
    /// What it is about, for the report.
    pub(crate) about: &'static str,
    /// Draws hosts and times.
    ask: fn(&mut Draw<'_>) -> Asked,
    /// With Prometheus.
    pub(crate) agreement: Agreement,
    /// With VictoriaMetrics where that is less, and why.
    pub(crate) victoria: Option<(Agreement, &'static str)>,
}

/// A question as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Of the request.
    pub(crate) path: String,
    /// Of the request, encoded; a GET where it is empty.
    pub(crate) form: String,
    /// Those for Plimsoll and for VictoriaMetrics, where they are not the same.
    pub(crate) short_forms: Option<ShortForms>,
}

/// A question in one selector, for servers that can tell the fields apart in what they make of it.
#[derive(Clone, Debug)]
pub(crate) struct ShortForms {
    pub(crate) plimsoll: String,
    pub(crate) victoria: String,
}

impl Query {
    /// The question of a round, the same in every run.
    pub(crate) fn ask(&self, set: &DataSet, round: u64) -> Asked {
        let name = self.name.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let random = Rng::with_seed(set.seed ^ name.rotate_left(17) ^ round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        (self.ask)(&mut Draw { set, random })
    }
}

const fn exact(name: &'static str, about: &'static str, ask: fn(&mut Draw<'_>) -> Asked) -> Query {
    Query { name, about, ask, agreement: EXACT, victoria: None }
}

/// All queries.
pub(crate) const QUERIES: [Query; 21] = [
    exact("single-groupby-1-1-1", "max of 1 field by minute, 1 host, 1 h", |d| d.max_by_minute(1, 1, 1)),
    exact("single-groupby-1-1-12", "the same, 12 h", |d| d.max_by_minute(1, 1, 12)),
    exact("single-groupby-1-8-1", "the same, 8 hosts, 1 h", |d| d.max_by_minute(1, 8, 1)),
    exact("single-groupby-5-1-1", "max of 5 fields by minute, 1 host, 1 h", |d| d.max_by_minute(5, 1, 1)),
    exact("single-groupby-5-8-1", "the same, 8 hosts", |d| d.max_by_minute(5, 8, 1)),
    exact("cpu-max-all-1", "max of 10 fields by hour, 1 host, 8 h", |d| d.max_by_hour(1)),
    exact("cpu-max-all-8", "the same, 8 hosts", |d| d.max_by_hour(8)),
    exact("double-groupby-1", "mean of 1 field by hour and host, 12 h", |d| d.mean_by_hour(1)),
    exact("double-groupby-5", "the same, 5 fields", |d| d.mean_by_hour(5)),
    exact("double-groupby-all", "the same, 10 fields", |d| d.mean_by_hour(10)),
    exact("high-cpu-1", "every reading over 90, 1 host, 12 h", |d| {
        let host = d.hosts(1);
        d.range(&format!("cpu_usage_user{{{host}}} > 90"), 12 * HOUR, INTERVAL)
    }),
    exact("high-cpu-all", "the same, all hosts", |d| d.range("cpu_usage_user > 90", 12 * HOUR, INTERVAL)),
    exact("lastpoint", "the last reading of 10 fields of all hosts", |d| d.instant("{__name__=~\"cpu_usage_.+\"}")),
    Query {
        victoria: Some((
            Agreement::Series(0.02),
            "its `rate` begins at the last sample before the window and does not extrapolate: compared within 2 %",
        )),
        ..exact("rate-by-region", "rate over 5 m of a counter, by region, 1 h by minute", |d| {
            d.range("sum by (region) (rate(cpu_busy_seconds_total[5m]))", HOUR, MINUTE)
        })
    },
    Query {
        agreement: Agreement::Values,
        ..exact("topk", "the 5 highest means over 5 m, 1 h by minute", |d| {
            d.range("topk(5, avg_over_time(cpu_usage_iowait[5m]))", HOUR, MINUTE)
        })
    },
    exact("quantile-over-time", "95th percentile over 1 h of all hosts, the highest by region", |d| {
        d.instant("max by (region) (quantile_over_time(0.95, cpu_usage_user[1h]))")
    }),
    exact("count-series", "how many series there are now", |d| d.instant("count({__name__=~\".+\"})")),
    exact("count-samples", "how many samples one field has", |d| {
        let query = format!("sum(count_over_time(cpu_usage_user[{}h]))", d.set.hours);
        d.instant(&query)
    }),
    exact("label-values", "all hosts' names", |d| Asked {
        path: format!("/api/v1/label/hostname/values?{}", d.whole()),
        form: String::new(),
        short_forms: None,
    }),
    exact("labels", "all labels' names", |d| d.metadata("labels", "")),
    exact("series", "the series of one field in one region", |d| {
        d.metadata("series", &encode("match[]", "cpu_usage_user{region=\"us-west-2\"}"))
    }),
];

/// A question about several fields in one selector: an aggregation, its labels beside the name, and what it is of.
struct AllFields<'a> {
    op: &'a str,
    by: &'a [&'a str],
    of: &'a dyn Fn(&str) -> String,
}

/// Draws from a set.
struct Draw<'a> {
    set: &'a DataSet,
    random: Rng,
}

impl Draw<'_> {
    fn max_by_minute(&mut self, fields: usize, hosts: usize, hours: i64) -> Asked {
        let hosts = self.hosts(hosts);
        let one = |field: &str| format!("max(max_over_time(cpu_{field}{{{hosts}}}[1m]))");
        let all = |names: &str| format!("max_over_time({{{names},{hosts}}}[1m])");
        self.of_fields(fields, one, &AllFields { op: "max", by: &[], of: &all }, hours * HOUR, MINUTE)
    }

    fn max_by_hour(&mut self, hosts: usize) -> Asked {
        let hosts = self.hosts(hosts);
        let one = |field: &str| format!("max(max_over_time(cpu_{field}{{{hosts}}}[1h]))");
        let all = |names: &str| format!("max_over_time({{{names},{hosts}}}[1h])");
        self.of_fields(FIELD_NAMES.len(), one, &AllFields { op: "max", by: &[], of: &all }, 8 * HOUR, HOUR)
    }

    fn mean_by_hour(&mut self, fields: usize) -> Asked {
        let one = |field: &str| format!("avg by (hostname) (avg_over_time(cpu_{field}[1h]))");
        let all = |names: &str| format!("avg_over_time({{{names}}}[1h])");
        self.of_fields(fields, one, &AllFields { op: "avg", by: &["hostname"], of: &all }, 12 * HOUR, HOUR)
    }

    /// A function over time drops the name, so that PromQL has to ask for each field and to say which it was, as
    /// Prometheus 2 is asked here. VictoriaMetrics keeps it, and gets the shorter query that TSBS has for it; Plimsoll has
    /// Prometheus 3's `promql-delayed-name-removal`, under which a label can still be made of it.
    fn of_fields(
        &mut self,
        fields: usize,
        one: impl Fn(&str) -> String,
        all: &AllFields<'_>,
        seconds: i64,
        step: i64,
    ) -> Asked {
        let fields = &FIELD_NAMES[..fields];
        if let [field] = fields {
            return self.range(&one(field), seconds, step);
        }
        let named = |field: &&str| format!("label_replace({}, \"field\", \"{field}\", \"\", \"\")", one(field));
        let union: Vec<_> = fields.iter().map(named).collect();
        let AllFields { op, by, of } = all;
        let selected = of(&format!("__name__=~\"cpu_({})\"", fields.join("|")));
        let by = |name| [&[name], *by].concat().join(", ");
        let named = format!("label_replace({selected}, \"field\", \"$1\", \"__name__\", \"cpu_(.+)\")");
        let times = self.times(seconds, step);
        let form = |query: &str| format!("{}&{times}", encode("query", query));
        Asked {
            path: "/api/v1/query_range".to_owned(),
            form: form(&union.join(" or ")),
            short_forms: Some(ShortForms {
                plimsoll: form(&format!("{op} by ({}) ({named})", by("field"))),
                victoria: form(&format!("{op} by ({}) ({selected})", by("__name__"))),
            }),
        }
    }

    fn range(&mut self, query: &str, seconds: i64, step: i64) -> Asked {
        let form = format!("{}&{}", encode("query", query), self.times(seconds, step));
        Asked { path: "/api/v1/query_range".to_owned(), form, short_forms: None }
    }

    /// At a time in the last hour.
    fn instant(&mut self, query: &str) -> Asked {
        let time = self.set.end - self.random.i64(0..HOUR / INTERVAL) * INTERVAL;
        let form = format!("{}&time={time}", encode("query", query));
        Asked { path: "/api/v1/query".to_owned(), form, short_forms: None }
    }

    fn metadata(&mut self, what: &str, form: &str) -> Asked {
        let form = format!("{form}&{}", self.whole());
        Asked { path: format!("/api/v1/{what}"), form, short_forms: None }
    }

    /// Some hosts, as a matcher.
    fn hosts(&mut self, count: usize) -> String {
        let chosen = self.random.choose_multiple(0..self.set.hosts, count);
        let names: Vec<_> = chosen.into_iter().map(|host| format!("host_{host}")).collect();
        format!("hostname=~\"{}\"", names.join("|"))
    }

    /// A stretch of this length, or as long as the set has it behind its first hour, which windows reach back to.
    fn times(&mut self, seconds: i64, step: i64) -> String {
        let earliest = self.set.start() + HOUR;
        let seconds = seconds.min((self.set.end - earliest) / step * step);
        let start = earliest + self.random.i64(0..=(self.set.end - seconds - earliest) / INTERVAL) * INTERVAL;
        format!("start={start}&end={}&step={step}", start + seconds)
    }

    fn whole(&self) -> String {
        format!("start={}&end={}", self.set.start(), self.set.end)
    }
}

/// A parameter of a form.
fn encode(name: &str, value: &str) -> String {
    let mut text = format!("{name}=");
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => text.push(byte as char),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
