//! PromQL as it is defined: one time, one series, one sample after the other, and nothing remembered between them.

use std::collections::{BTreeMap, BTreeSet};

use super::window;
use crate::{
    model::{Labels, METRIC_NAME},
    promql::{
        ast::{
            Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, Expr, Matching, Node,
            TimeShift, VectorSelector,
        },
        value::is_stale,
    },
    select::Series,
};

/// A vector: labels and a value.
pub(super) type Vector = Vec<(Labels, f64)>;
/// What a range expression gives at a time: from behind which time up to which, and each series' samples there.
pub(super) type Windows = (i64, i64, BTreeMap<Labels, Vec<(i64, f64)>>);
/// A value, or that there is an error.
pub(super) type Outcome<T> = Result<T, &'static str>;

/// Something evaluated at a time.
#[derive(Debug)]
pub(super) enum Value {
    Scalar(f64),
    Vector(Vector),
}

/// The data, and the times of the query.
pub(super) struct Naive<'d> {
    pub series: &'d [Series],
    pub start: i64,
    pub end: i64,
    pub lookback: i64,
}

impl Naive<'_> {
    pub(super) fn eval(&self, expr: &Expr, time: i64) -> Outcome<Value> {
        Ok(match &expr.node {
            Node::Number(number) => Value::Scalar(number.value),
            Node::Paren(inner) | Node::Unary { negate: false, expr: inner } => self.eval(inner, time)?,
            Node::Unary { negate: true, expr: inner } => match self.eval(inner, time)? {
                Value::Scalar(value) => Value::Scalar(-value),
                Value::Vector(vector) => Value::Vector(renamed(vector, |value| Some(-value))?),
            },
            Node::Vector(selector) => Value::Vector(self.latest(selector, time)),
            Node::Binary(binary) => self.binary(binary, time)?,
            Node::Aggregate(aggregate) => Value::Vector(self.aggregate(aggregate, time)?),
            Node::Call(call) => self.call(call, time)?,
            Node::String(_) | Node::Matrix(_) | Node::Subquery(_) => panic!("these are arguments only"),
        })
    }

    pub(super) fn vector(&self, expr: &Expr, time: i64) -> Outcome<Vector> {
        match self.eval(expr, time)? {
            Value::Vector(vector) => Ok(vector),
            Value::Scalar(_) => panic!("{expr} is a number"),
        }
    }

    pub(super) fn scalar(&self, expr: &Expr, time: i64) -> Outcome<f64> {
        match self.eval(expr, time)? {
            Value::Scalar(value) => Ok(value),
            Value::Vector(_) => panic!("{expr} is a vector"),
        }
    }

    fn shifted(&self, shift: &TimeShift, time: i64) -> i64 {
        let time = match shift.at {
            None => time,
            Some(At::Time(at)) => at,
            Some(At::Start) => self.start,
            Some(At::End) => self.end,
        };
        time - shift.offset.as_ref().map_or(0, nanos)
    }

    fn latest(&self, selector: &VectorSelector, time: i64) -> Vector {
        let time = self.shifted(&selector.at, time);
        let mut vector = Vec::new();
        for series in self.selected(selector) {
            let samples = series.times.iter().zip(&series.values);
            let mut within = samples.filter(|(at, _)| time - self.lookback < **at && **at <= time);
            if let Some((_, &value)) = within.next_back()
                && !is_stale(value)
            {
                vector.push((series.labels.clone(), value));
            }
        }
        vector
    }

    fn selected(&self, selector: &VectorSelector) -> impl Iterator<Item = &Series> {
        let passes = |series: &&Series| selector.matchers.iter().all(|m| m.matches(series.labels.get(&m.name)));
        self.series.iter().filter(passes)
    }

    pub(super) fn windows(&self, expr: &Expr, time: i64) -> Outcome<Windows> {
        let mut windows: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        match &expr.node {
            Node::Paren(inner) => self.windows(inner, time),
            Node::Matrix(matrix) => {
                let end = self.shifted(&matrix.selector.at, time);
                let start = end - nanos(&matrix.range);
                for series in self.selected(&matrix.selector) {
                    for (&at, &value) in series.times.iter().zip(&series.values) {
                        if start < at && at <= end && !is_stale(value) {
                            windows.entry(series.labels.clone()).or_default().push((at, value));
                        }
                    }
                }
                Ok((start, end, windows))
            }
            Node::Subquery(subquery) => {
                let end = self.shifted(&subquery.at, time);
                let start = end - nanos(&subquery.range);
                let step = subquery.step.as_ref().map_or(60_000_000_000, nanos);
                let first = (start.div_euclid(step) + 1) * step;
                for at in (0..).map(|index| first + index * step).take_while(|at| *at <= end) {
                    for (labels, value) in self.vector(&subquery.expr, at)? {
                        windows.entry(labels).or_default().push((at, value));
                    }
                }
                Ok((start, end, windows))
            }
            _ => panic!("{expr} is no range"),
        }
    }

    fn call(&self, call: &Call, time: i64) -> Outcome<Value> {
        let (name, args) = (call.function.name, &call.args);
        Ok(Value::Vector(match name {
            "time" => return Ok(Value::Scalar(time as f64 / 1e9)),
            "end" => return Ok(Value::Scalar(self.end as f64 / 1e9)),
            "range" => return Ok(Value::Scalar((self.end - self.start) as f64 / 1e9)),
            "scalar" => {
                let vector = self.vector(&args[0], time)?;
                return Ok(Value::Scalar(if vector.len() == 1 { vector[0].1 } else { f64::NAN }));
            }
            "vector" => vec![(Labels::default(), self.scalar(&args[0], time)?)],
            "abs" => renamed(self.vector(&args[0], time)?, |value| Some(value.abs()))?,
            "ceil" => renamed(self.vector(&args[0], time)?, |value| Some(value.ceil()))?,
            "sgn" => renamed(self.vector(&args[0], time)?, |value| {
                Some(if value == 0.0 || value.is_nan() { value } else { value.signum() })
            })?,
            "clamp_min" => {
                let bound = self.scalar(&args[1], time)?;
                renamed(self.vector(&args[0], time)?, |value| Some(window::greater(value, bound)))?
            }
            "absent" => match self.vector(&args[0], time)?.is_empty() {
                true => vec![(absent_labels(&args[0]), 1.0)],
                false => Vec::new(),
            },
            _ => self.over_time(call, time)?,
        }))
    }

    /// A function of windows.
    fn over_time(&self, call: &Call, time: i64) -> Outcome<Vector> {
        let name = call.function.name;
        let (param, range) = match &call.args[..] {
            [param, range] if name == "quantile_over_time" => (self.scalar(param, time)?, range),
            [range, param] => (self.scalar(param, time)?, range),
            [range] => (0.0, range),
            args => panic!("{} arguments", args.len()),
        };
        let (start, end, windows) = self.windows(range, time)?;
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        let mut vector = Vec::new();
        for (labels, samples) in windows {
            // Seconds from the evaluation time, so that differences are exact.
            let relative: Vec<(f64, f64)> = samples.iter().map(|(at, value)| (seconds(at - time), *value)).collect();
            let edges = (seconds(start - time), seconds(end - time));
            if let Some(value) = window::value(name, param, &relative, edges) {
                vector.push((labels, value));
            }
        }
        match name {
            "last_over_time" | "first_over_time" => Ok(vector),
            _ => renamed(vector, Some),
        }
    }

    fn aggregate(&self, aggregate: &Aggregate, time: i64) -> Outcome<Vector> {
        let param = match (&aggregate.param, aggregate.op) {
            (Some(param), op) if op != AggregateOp::CountValues => self.scalar(param, time)?,
            _ => 0.0,
        };
        let mut groups: BTreeMap<Labels, Vector> = BTreeMap::new();
        for (labels, value) in self.vector(&aggregate.expr, time)? {
            let listed = |name: &str| aggregate.grouping.iter().any(|label| **label == *name);
            let group = match aggregate.without {
                true => labels.filtered(|name| name != METRIC_NAME && !listed(name)),
                false => labels.filtered(listed),
            };
            groups.entry(group).or_default().push((labels, value));
        }
        let mut vector = Vec::new();
        for (group, mut members) in groups {
            let values: Vec<f64> = members.iter().map(|(_, value)| *value).collect();
            match aggregate.op {
                AggregateOp::Topk | AggregateOp::Bottomk => {
                    let top = aggregate.op == AggregateOp::Topk;
                    let key = |value: f64| if top { -value } else { value };
                    // Stable: those of equal value stay in the order of their labels, and NaN goes last.
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                    members.sort_by(|a, b| key(a.1).partial_cmp(&key(b.1)).unwrap_or(a.1.is_nan().cmp(&b.1.is_nan())));
                    members.truncate(param.max(0.0) as usize);
                    vector.extend(members);
                }
                AggregateOp::Quantile => vector.push((group, window::quantile(param, &values))),
                op => vector.push((group, window::aggregated(op.name(), &values))),
            }
        }
        Ok(vector)
    }

    fn binary(&self, binary: &Binary, time: i64) -> Outcome<Value> {
        let (left, right) = (self.eval(&binary.left, time)?, self.eval(&binary.right, time)?);
        let op = |left, right| apply(binary.op, binary.return_bool, left, right);
        Ok(Value::Vector(match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                return Ok(Value::Scalar(apply(binary.op, true, left, right).expect("it does not filter").1));
            }
            (Value::Vector(vector), Value::Scalar(number)) => {
                let one = |value| op(value, number).map(|(filters, result)| if filters { value } else { result });
                if filters(binary) { kept(vector, one) } else { renamed(vector, one)? }
            }
            (Value::Scalar(number), Value::Vector(vector)) => {
                let one = |value| op(number, value).map(|(filters, result)| if filters { value } else { result });
                if filters(binary) { kept(vector, one) } else { renamed(vector, one)? }
            }
            (Value::Vector(left), Value::Vector(right)) => {
                let matching = binary.matching.as_ref().expect("two vectors are matched");
                match binary.op.is_set() {
                    true => set(binary.op, matching, left, right)?,
                    false => matched(binary, matching, left, right)?,
                }
            }
        }))
    }
}

/// Nanoseconds of a literal.
fn nanos(duration: &DurationExpr) -> i64 {
    match duration {
        DurationExpr::Literal(nanos) => *nanos,
        other => panic!("{other} is not a literal"),
    }
}

fn filters(binary: &Binary) -> bool {
    binary.op.is_comparison() && !binary.return_bool
}

fn nameless(labels: &Labels) -> Labels {
    labels.filtered(|name| name != METRIC_NAME)
}

fn kept(vector: Vector, change: impl Fn(f64) -> Option<f64>) -> Vector {
    vector.into_iter().filter_map(|(labels, value)| Some((labels, change(value)?))).collect()
}

/// A vector with its values changed and its names dropped.
fn renamed(vector: Vector, change: impl Fn(f64) -> Option<f64>) -> Outcome<Vector> {
    unique(kept(vector, change).into_iter().map(|(labels, value)| (nameless(&labels), value)).collect())
}

fn unique(vector: Vector) -> Outcome<Vector> {
    let labels: BTreeSet<&Labels> = vector.iter().map(|(labels, _)| labels).collect();
    if labels.len() == vector.len() { Ok(vector) } else { Err("the same labels twice") }
}

/// The labels a selector asks for by equality.
fn absent_labels(expr: &Expr) -> Labels {
    let Node::Vector(selector) = &expr.node else { return Labels::default() };
    let mut labels = Labels::default().to_builder();
    for matcher in selector.matchers.iter().filter(|m| *m.name != *METRIC_NAME && m.op.to_string() == "=") {
        labels.set(matcher.name.clone(), matcher.value.clone());
    }
    labels.build()
}

/// What an operator makes of two numbers, and whether that is a filter's yes; `None` is its no.
fn apply(op: BinaryOp, as_number: bool, left: f64, right: f64) -> Option<(bool, f64)> {
    let holds = match op {
        BinaryOp::Add => return Some((false, left + right)),
        BinaryOp::Sub => return Some((false, left - right)),
        BinaryOp::Mul => return Some((false, left * right)),
        BinaryOp::Div => return Some((false, left / right)),
        BinaryOp::Mod => return Some((false, left % right)),
        BinaryOp::Pow => return Some((false, left.powf(right))),
        BinaryOp::Atan2 => return Some((false, left.atan2(right))),
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::Less => left < right,
        BinaryOp::GreaterOrEqual => left >= right,
        BinaryOp::LessOrEqual => left <= right,
        op => panic!("{} is not of numbers", op.symbol()),
    };
    match as_number {
        true => Some((false, if holds { 1.0 } else { 0.0 })),
        false => holds.then_some((true, left)),
    }
}

fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|label| **label == *name);
    labels.filtered(|name| if matching.on { listed(name) } else { name != METRIC_NAME && !listed(name) })
}

fn set(op: BinaryOp, matching: &Matching, left: Vector, right: Vector) -> Outcome<Vector> {
    let has = |vector: &Vector, labels: &Labels| {
        vector.iter().any(|(other, _)| signature(other, matching) == signature(labels, matching))
    };
    unique(match op {
        BinaryOp::And => left.into_iter().filter(|(labels, _)| has(&right, labels)).collect(),
        BinaryOp::Unless => left.into_iter().filter(|(labels, _)| !has(&right, labels)).collect(),
        _ => {
            let more: Vector = right.into_iter().filter(|(labels, _)| !has(&left, labels)).collect();
            left.into_iter().chain(more).collect()
        }
    })
}

fn matched(binary: &Binary, matching: &Matching, left: Vector, right: Vector) -> Outcome<Vector> {
    if left.is_empty() || right.is_empty() {
        return Ok(Vec::new());
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let signatures: BTreeSet<Labels> = one.iter().map(|(labels, _)| signature(labels, matching)).collect();
    if signatures.len() < one.len() {
        return Err("several series on the side of one");
    }
    let mut seen = BTreeSet::new();
    let (mut matches, mut results) = (Vec::new(), Vec::new());
    for (labels, value) in many {
        let own = signature(&labels, matching);
        let Some((other, number)) = one.iter().find(|(other, _)| signature(other, matching) == own) else { continue };
        if one_to_one && !seen.insert(own) {
            return Err("several series on the other side");
        }
        let (a, b) = if swapped { (*number, value) } else { (value, *number) };
        let result = apply(binary.op, binary.return_bool, a, b).map(|(_, result)| result);
        let mut labels = if filters(binary) { labels } else { nameless(&labels) };
        if one_to_one {
            let listed = |name: &str| matching.labels.iter().any(|label| **label == *name);
            labels = labels.filtered(|name| listed(name) == matching.on);
        }
        let mut labels = labels.to_builder();
        for name in &matching.include {
            labels.set(name.clone(), other.get(name));
        }
        let labels = labels.build();
        matches.push((labels.clone(), *number));
        results.extend(result.map(|result| (labels, result)));
    }
    // What a comparison takes away is a match nonetheless.
    unique(matches)?;
    Ok(results)
}
