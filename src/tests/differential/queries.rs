//! Questions of all kinds, made at random from a fixed seed.

use fastrand::Rng;

use super::data::{SPAN, START};
use crate::model::NANOS_PER_SECOND;

/// When a query is evaluated, in Unix nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    At(i64),
    /// Start, end, step; the end need not be a step.
    Range(i64, i64, i64),
}

#[derive(Clone, Debug)]
pub(super) struct Query {
    pub text: String,
    pub when: When,
}

/// So many queries.
pub(super) fn all(count: usize) -> Vec<Query> {
    let mut rng = Rng::with_seed(42);
    (0..count).map(|_| Query { text: Writer(&mut rng).query(), when: when(&mut rng) }).collect()
}

/// Seven seconds past a minute: windows of whole minutes end on no step of a subquery then.
fn when(rng: &mut Rng) -> When {
    let minute = |rng: &mut Rng, low, high| (START + rng.i64(low..high) * 60 + 7) * NANOS_PER_SECOND;
    if rng.bool() {
        return When::At(minute(rng, 2, SPAN / 60 + 4));
    }
    let start = minute(rng, 0, SPAN / 120);
    let step = rng.i64(1..6) * 60 * NANOS_PER_SECOND;
    let rest = if rng.bool() { rng.i64(0..step / NANOS_PER_SECOND) * NANOS_PER_SECOND } else { 0 };
    When::Range(start, start + rng.i64(3..20) * step + rest, step)
}

/// Writes queries.
struct Writer<'r>(&'r mut Rng);

/// Functions of a window, of usual numbers and of any.
const OVER_TIME: [&str; 18] = [
    "rate",
    "increase",
    "irate",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "absent_over_time",
];
const OVER_ODD: [&str; 7] =
    ["changes", "resets", "min_over_time", "max_over_time", "count_over_time", "last_over_time", "present_over_time"];
/// Functions of a vector.
const MAPS: [&str; 22] = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "timestamp",
    "absent",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "days_in_month",
    "month",
    "year",
    "sin",
    "atan",
    "deg",
    "sort_desc",
];
const AGGREGATIONS: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
const LABELS: [&str; 4] = ["job", "instance", "code", "nothing"];

impl Writer<'_> {
    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.0.usize(..choices.len())]
    }

    fn query(&mut self) -> String {
        match self.0.u32(..16) {
            0 => self.shifted(),
            1 => self.of_odd(),
            2..=3 => self.over_time(),
            4..=5 => self.aggregation(2),
            6..=7 => self.matched(),
            8 => self.set(),
            9 => self.histogram(),
            10 => self.subquery(),
            11 => self.labels(),
            12 => self.scalar(),
            13 => self.ranked(),
            _ => self.vector(3),
        }
    }

    /// A selector of usual numbers.
    fn selector(&mut self) -> String {
        let name =
            self.of(&["requests_total", "requests_total", "temperature", "temperature_max", "quota", "latency_count"]);
        let matchers = self.of(&[
            "",
            "",
            "",
            "{job=\"api\"}",
            "{job!=\"db\"}",
            "{instance=~\"0|2\"}",
            "{job=~\"a.*|w.*\",instance!=\"1\"}",
            "{instance!~\"[01]\"}",
            "{code=\"\"}",
            "{code=~\"4..|5..\"}",
            "{nothing=\"\"}",
            "{job=\"absent\"}",
        ]);
        format!("{name}{matchers}")
    }

    fn shifted(&mut self) -> String {
        let (selector, minutes) = (self.selector(), self.0.i64(-20..60));
        match self.0.u32(..4) {
            0 => format!("{selector} offset {minutes}m"),
            1 => format!("{selector} @ {}", START + 607 + self.0.i64(0..100) * 60),
            2 => format!("{selector} @ end() offset {minutes}m"),
            _ => format!("rate({selector}[{}m] @ start())", self.0.u32(2..20)),
        }
    }

    fn of_odd(&mut self) -> String {
        let function = self.of(&OVER_ODD);
        let operator = self.of(&["+", "*", "/", ">", "<= bool", "!=", "-", "%"]);
        match self.0.u32(..5) {
            0 => format!("{function}(odd[{}m])", self.0.u32(1..12)),
            1 => format!("odd {operator} {}", self.of(&["0", "1", "-2.5", "Inf", "NaN"])),
            2 => format!("{} by (job) (odd)", self.of(&["min", "max", "count", "group"])),
            3 => format!("count_values(\"v\", odd{{instance=\"{}\"}})", self.of(&["0", "1", "2"])),
            _ => format!("odd {operator} on (job, instance) temperature"),
        }
    }

    fn over_time(&mut self) -> String {
        let minutes = if self.0.u32(..6) == 0 { 150 } else { self.0.u32(1..16) };
        let selector = self.selector();
        match self.0.u32(..8) {
            0 => format!(
                "quantile_over_time({}, {selector}[{minutes}m])",
                self.of(&["0", "0.5", "0.9", "1", "1.5", "-1"])
            ),
            1 => format!("predict_linear({selector}[{}m], {})", minutes + 1, self.of(&["0", "600", "-60"])),
            _ => format!("{}({selector}[{minutes}m])", self.of(&OVER_TIME)),
        }
    }

    /// Any vector of usual numbers, at most `depth` deep.
    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return if self.0.bool() { self.selector() } else { self.over_time() };
        }
        match self.0.u32(..9) {
            0 => self.selector(),
            1..=2 => self.over_time(),
            3 => self.aggregation(depth - 1),
            4 => format!("{}({})", self.of(&MAPS), self.vector(depth - 1)),
            5 => {
                let operator = self.of(&["+", "-", "*", "/", "%", "^", ">", "<", ">=", "!=", "== bool", "> bool"]);
                let number = self.of(&["0", "1", "2", "0.5", "-3", "40", "1000"]);
                match self.0.bool() {
                    true => format!("({} {operator} {number})", self.vector(depth - 1)),
                    false => format!("({number} {operator} {})", self.vector(depth - 1)),
                }
            }
            6 => format!("-{}", self.selector()),
            7 => format!("clamp({}, {}, 60)", self.vector(depth - 1), self.of(&["-1", "10", "70"])),
            _ => format!("round({}, {})", self.selector(), self.of(&["0.1", "5", "10"])),
        }
    }

    fn grouping(&mut self) -> String {
        match self.0.u32(..4) {
            0 => String::new(),
            1 => format!("by ({}) ", self.of(&LABELS)),
            2 => format!("by ({}, {}) ", self.of(&LABELS), self.of(&LABELS)),
            _ => format!("without ({}) ", self.of(&LABELS)),
        }
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let (grouping, inner) = (self.grouping(), self.vector(depth));
        match self.0.u32(..8) {
            0 => format!("quantile {grouping}({}, {inner})", self.of(&["0", "0.25", "0.5", "0.99", "1", "2"])),
            _ => format!("{} {grouping}({inner})", self.of(&AGGREGATIONS)),
        }
    }

    fn matched(&mut self) -> String {
        let operator = self.of(&["+", "-", "*", "/", "%", "^", ">", "<=", "==", "!= bool", "< bool"]);
        let (left, right) = (self.of(&["temperature", "rate(latency_count[5m])", "latency_sum"]), "temperature_max");
        match self.0.u32(..8) {
            // Several for several: refused.
            7 => format!("{left} {operator} on (job) {right}"),
            0 => format!("{left} {operator} {right}"),
            1 => format!("{left} {operator} on (job, instance) {right}"),
            2 => format!("{left} {operator} ignoring (code) {right}"),
            3 => format!("{left} {operator} on (job) group_left {} quota", self.of(&["", "()", "(team)"])),
            4 => format!("quota {operator} on (job) group_right (team) {left}"),
            5 => format!("sum by (job) ({left}) {operator} on (job) quota"),
            _ => format!("requests_total {operator} ignoring (code) group_left {right}"),
        }
    }

    fn set(&mut self) -> String {
        let operator = self.of(&["and", "or", "unless"]);
        let matching = self.of(&["", "on (job)", "on (job, instance)", "ignoring (code)", "on ()"]);
        let (left, right) = (self.vector(1), self.vector(1));
        format!("({left}) {operator} {matching} ({right})")
    }

    fn histogram(&mut self) -> String {
        let quantile = self.of(&["0", "0.1", "0.5", "0.9", "0.99", "1", "1.2", "-0.1"]);
        let minutes = self.0.u32(1..10);
        match self.0.u32(..4) {
            0 => format!("histogram_quantile({quantile}, latency_bucket)"),
            1 => format!("histogram_quantile({quantile}, sum by (le) (rate(latency_bucket[{minutes}m])))"),
            2 => format!("histogram_quantile({quantile}, sum by (job, le) (increase(latency_bucket[{minutes}m])))"),
            _ => format!("rate(latency_sum[{minutes}m]) / rate(latency_count[{minutes}m])"),
        }
    }

    fn subquery(&mut self) -> String {
        let (minutes, step) = (self.0.u32(3..30), self.of(&["30s", "1m", "2m", ""]));
        let suffix = self.of(&["", "", " offset 5m", " offset 10m"]);
        let inner = self.vector(1);
        let function =
            self.of(&["max_over_time", "sum_over_time", "avg_over_time", "count_over_time", "deriv", "delta"]);
        format!("{function}(({inner})[{minutes}m:{step}]{suffix})")
    }

    fn labels(&mut self) -> String {
        let inner = self.selector();
        match self.0.u32(..4) {
            0 => format!("label_replace({inner}, \"copy\", \"$1-x\", \"job\", \"(.)(.*)\")"),
            1 => format!("label_replace({inner}, \"job\", \"\", \"job\", \"api\")"),
            2 => format!("label_join({inner}, \"both\", \"/\", \"job\", \"nothing\", \"instance\")"),
            _ => format!("count_values by (job) (\"value\", round({inner}, 20))"),
        }
    }

    fn scalar(&mut self) -> String {
        let inner = self.vector(1);
        match self.0.u32(..6) {
            0 => format!("scalar({inner})"),
            1 => format!("scalar(sum({inner})) * 2 - time()"),
            2 => "vector(time()) % 1000".to_owned(),
            3 => format!("temperature > bool scalar(avg({inner}))"),
            4 => format!("clamp_max({inner}, scalar(quota{{job=\"db\"}}))"),
            _ => "pi() ^ 2 - (3 > bool 2)".to_owned(),
        }
    }

    fn ranked(&mut self) -> String {
        let (operator, grouping) = (self.of(&["topk", "bottomk"]), self.grouping());
        // Values that are hardly ever equal: among equals the choice is free.
        let inner = self.of(&[
            "requests_total",
            "rate(requests_total[13m])",
            "latency_sum * temperature",
            "deriv(temperature[9m])",
        ]);
        format!("{operator} {grouping}({}, {inner})", self.of(&["0", "1", "2", "5", "100"]))
    }
}
