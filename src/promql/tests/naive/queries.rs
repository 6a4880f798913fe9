//! Random queries of any nesting, as text.

use fastrand::Rng;

/// A query.
pub(super) fn query(rng: &mut Rng) -> String {
    let depth = rng.u32(1..5);
    if rng.u32(..12) == 0 { Writer(rng).scalar(depth) } else { Writer(rng).vector(depth) }
}

struct Writer<'r>(&'r mut Rng);

const OVER_TIME: [&str; 21] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "deriv",
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "first_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "rate",
    "increase",
    "sum_over_time",
];
const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];
const LABELS: [&str; 4] = ["job", "instance", "zone", "none"];

impl Writer<'_> {
    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.0.usize(..choices.len())]
    }

    fn selector(&mut self) -> String {
        let name = self.of(&["c", "g", "h"]);
        let matchers = self.of(&[
            "",
            "",
            "",
            "",
            "{job=\"a\"}",
            "{job!=\"a\"}",
            "{instance=~\"[01]\"}",
            "{zone=\"\"}",
            "{zone!~\"x|\"}",
            "{job=~\".*\",instance=\"2\"}",
            "{zone=\"nowhere\"}",
        ]);
        format!("{name}{matchers}")
    }

    fn shift(&mut self) -> &'static str {
        self.of(&["", "", "", "", "", " offset 1m", " offset -90s", " @ 600", " @ start()", " @ end() offset 2m"])
    }

    /// A range expression over something at most `depth` deep.
    fn range(&mut self, depth: u32) -> String {
        if depth == 0 || self.0.u32(..3) > 0 {
            let (range, shift) = (self.of(&["30s", "1m", "2m", "5m", "10m"]), self.shift());
            return format!("{}[{range}]{shift}", self.selector());
        }
        let (range, step) = (self.of(&["1m", "3m", "7m"]), self.of(&["", "10s", "30s", "45s", "1m"]));
        // Deeper, the plain evaluator would take for ever.
        let (inner, shift) = (self.vector(depth.min(2) - 1), self.shift());
        format!("({inner})[{range}:{step}]{shift}")
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return format!("{}{}", self.selector(), self.shift());
        }
        match self.0.u32(..15) {
            // Names that go where they may be all that tells series apart, as long as these are not there together.
            14 => self.of(&["abs({__name__=~\"c|g\",job=\"b\"})", "{__name__!=\"h\",instance=\"1\"} + 1"]).to_owned(),
            0 => format!("{}{}", self.selector(), self.shift()),
            1..=3 => self.over_time(depth - 1),
            4..=6 => self.aggregation(depth - 1),
            7..=9 => self.matched(depth - 1),
            10 => self.set(depth - 1),
            11 => {
                let (vector, number) = (self.vector(depth - 1), self.scalar(depth - 1));
                let operator = self.operator();
                if self.0.bool() {
                    format!("({vector}) {operator} ({number})")
                } else {
                    format!("({number}) {operator} ({vector})")
                }
            }
            12 => format!("{}({})", self.of(&["abs", "ceil", "sgn", "absent", "-"]), self.vector(depth - 1)),
            _ => match self.0.bool() {
                true => format!("clamp_min({}, {})", self.vector(depth - 1), self.scalar(depth - 1)),
                false => format!("vector({})", self.scalar(depth - 1)),
            },
        }
    }

    fn over_time(&mut self, depth: u32) -> String {
        match self.0.u32(..10) {
            0 => {
                format!("quantile_over_time({}, {})", self.of(&["0", "0.3", "0.5", "1", "2", "-1"]), self.range(depth))
            }
            1 => format!("predict_linear({}, {})", self.range(depth), self.of(&["0", "60", "-10"])),
            _ => format!("{}({})", self.of(&OVER_TIME), self.range(depth)),
        }
    }

    fn operator(&mut self) -> String {
        match self.0.u32(..4) {
            0..=1 => self.of(&ARITHMETIC).to_owned(),
            2 => self.of(&COMPARISONS).to_owned(),
            _ => format!("{} bool", self.of(&COMPARISONS)),
        }
    }

    fn label_list(&mut self) -> String {
        let count = self.0.usize(..3);
        let labels: Vec<&str> = (0..count).map(|_| self.of(&LABELS)).collect();
        format!("({})", labels.join(", "))
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let grouping = match self.0.u32(..3) {
            0 => String::new(),
            1 => format!("by {}", self.label_list()),
            _ => format!("without {}", self.label_list()),
        };
        let inner = self.vector(depth);
        match self.0.u32(..10) {
            0 => format!("topk {grouping} ({}, {inner})", self.of(&["0", "1", "2", "9"])),
            1 => format!("bottomk {grouping} ({}, {inner})", self.of(&["1", "3", "-2"])),
            2 => format!("quantile {grouping} ({}, {inner})", self.of(&["0", "0.25", "0.5", "1", "-1", "3"])),
            _ => {
                let operation = self.of(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
                format!("{operation} {grouping} ({inner})")
            }
        }
    }

    fn matched(&mut self, depth: u32) -> String {
        let matching = match self.0.u32(..6) {
            0 => String::new(),
            1 => "on (job, instance)".to_owned(),
            2 => format!("ignoring {}", self.label_list()),
            3 => format!("on {}", self.label_list()),
            4 => {
                format!("on (job) {} {}", self.of(&["group_left", "group_right"]), self.of(&["()", "(zone)", "(none)"]))
            }
            _ => format!("ignoring (zone, instance) {}", self.of(&["group_left ()", "group_right (instance)"])),
        };
        let (left, operator, right) = (self.vector(depth), self.operator(), self.vector(depth));
        // More often than chance one side is an aggregation, so that there is one series for many.
        let right = if self.0.bool() { format!("sum by (job, instance) ({right})") } else { format!("({right})") };
        format!("({left}) {operator} {matching} {right}")
    }

    fn set(&mut self, depth: u32) -> String {
        let (operator, left, right) = (self.of(&["and", "or", "unless"]), self.vector(depth), self.vector(depth));
        let matching = match self.0.u32(..3) {
            0 => String::new(),
            1 => format!("on {}", self.label_list()),
            _ => format!("ignoring {}", self.label_list()),
        };
        format!("({left}) {operator} {matching} ({right})")
    }

    fn scalar(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.of(&["0", "1", "2", "-3", "0.5", "10", "Inf", "NaN"]).to_owned();
        }
        match self.0.u32(..5) {
            0 => self.of(&["time()", "time()", "end()", "range()"]).to_owned(),
            1 => format!("scalar({})", self.vector(depth - 1)),
            2 => format!("({} {} {})", self.scalar(depth - 1), self.of(&ARITHMETIC), self.scalar(depth - 1)),
            3 => format!("({} {} bool {})", self.scalar(depth - 1), self.of(&COMPARISONS), self.scalar(depth - 1)),
            _ => self.scalar(0),
        }
    }
}
