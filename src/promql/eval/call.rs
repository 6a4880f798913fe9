//! Function calls: the arguments a function's body works on.

use crate::{
    model::Labels,
    promql::{
        ast::{Call, Expr, MatrixSelector, Node, RangeExtension, Span, ValueType},
        eval::{
            Error, Eval, Patience, Result, Scalars,
            points::Points,
            read::{Made, Reading},
            series::{ABSENT, Row, Sink, column},
            steps::Steps,
            window::{Bounds, Frame, RawSeries, Windows},
        },
        functions::{Body, Kernel, Naming, digest, rate::has_overlap, time::part},
        quote,
    },
};

/// A call and its place in the query.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    /// The call.
    pub call: &'a Call,
    /// All of it.
    pub span: Span,
}

impl<'a> Eval<'a> {
    /// Hands each series of a call's result to `sink`.
    pub(super) fn stream_call(&self, site: Site<'a>, steps: Steps, sink: &mut Sink<'_>) -> Result<()> {
        let args = &site.call.args;
        match site.call.function.body {
            Body::Map(change) => self.stream_renamed(&args[0], steps, sink, |points, patience| {
                points.map(patience, |_, value| change(value))
            }),
            Body::MapWith(change) => {
                let scalars = self.scalar_args(site, steps)?;
                let mut numbers = vec![0.0; scalars.len()];
                self.stream_renamed(&args[0], steps, sink, |points, patience| {
                    points.map(patience, |step, value| {
                        numbers.iter_mut().zip(&scalars).for_each(|(number, scalar)| *number = scalar.at(step));
                        change(value, &numbers).unwrap_or(ABSENT)
                    })
                })
            }
            Body::Calendar(field) => match args.first() {
                Some(arg) => self.stream_renamed(arg, steps, sink, |points, patience| {
                    points.map(patience, |_, value| part(value, field))
                }),
                None => {
                    let patience = self.patience();
                    let floats = column(steps.count, &patience, |step| part(steps.seconds(step), field))?;
                    let mut points = Points::of(floats, &patience)?;
                    sink(Row { labels: Labels::default(), drop_name: false, points: &mut points })
                }
            },
            Body::Window(kernel, naming) => self.stream_windows(site, kernel, naming, steps, sink),
            Body::Vector(body) => body(self, site, steps, sink),
            Body::Scalar(_) => unreachable!("the parser's type check lets no number stand for a vector"),
        }
    }

    /// The arguments that are numbers, in order.
    pub(crate) fn scalar_args(&self, site: Site<'a>, steps: Steps) -> Result<Vec<Scalars>> {
        let numbers = site.call.args.iter().filter(|arg| arg.value_type() == ValueType::Scalar);
        numbers.map(|arg| self.scalars(arg, steps)).collect()
    }

    /// Hands each series that a kernel makes of windows to `sink`.
    pub(crate) fn stream_windows(
        &self,
        site: Site<'a>,
        kernel: Kernel,
        naming: Naming,
        steps: Steps,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let arg = range_arg(site);
        check_extension(site, arg)?;
        let args = self.scalar_args(site, steps)?;
        let summary = digest::of_window(site.call.function);
        let mut names = self.name_dropper();
        let mut hand_on = |computed: Computed| {
            let Computed { labels, drop_name, mut points, overlaps } = computed;
            let mut row = Row { labels, drop_name, points: &mut points };
            if naming == Naming::Counter {
                self.check_counter(&row.labels, arg.span);
                if overlaps {
                    let warning = "sample has start time that overlaps with previous sample timestamp for metric";
                    self.warn(format!("{warning} {}", quote(row.labels.metric())), arg.span);
                }
            }
            if naming != Naming::Kept {
                names.drop_from(&mut row)?;
            }
            sink(row)
        };
        let compute = |bounds: &mut Bounds, patience: &Patience<'_>, frame: Frame, series: RawSeries| {
            let RawSeries { labels, drop_name, times, values, starts, digests } = &series;
            let bounds = bounds.of(frame, times, patience)?;
            let windows = Windows { frame, times, values, starts, digests, bounds, args: &args, patience };
            let mut floats = self.absent(steps.count, patience)?;
            match summary {
                Some(of) if !digests.is_empty() => digest::each(&windows, of, &mut floats)?,
                _ => kernel(&windows, &mut floats)?,
            }
            let points = Points::of(floats, patience)?;
            let overlaps = naming == Naming::Counter && has_overlap(&windows)?;
            let drop_name = *drop_name;
            Ok((!points.is_empty()).then(|| Computed { labels: labels.clone(), drop_name, points, overlaps }))
        };
        if let Some(matrix) = matrix(arg) {
            let frame = self.frame(arg, steps)?;
            let make = |bounds: &mut Bounds, patience: &Patience<'_>, series| match self.raw(series, patience)? {
                Some(raw) => {
                    self.note_windows(&frame, &raw);
                    self.note_series(arg.span);
                    compute(bounds, patience, frame, raw)
                }
                None => Ok(None),
            };
            let matchers = &matrix.selector.matchers;
            let keeps_together = |first, last| frame.keeps_together(first, last);
            let digestible = summary.map(|_| &keeps_together as &dyn Fn(i64, i64) -> bool);
            let reading = Reading { matchers, range: frame.time_range(), width: steps.count, digestible };
            return self.read(reading, &make, &mut hand_on);
        }
        let (patience, mut bounds) = (self.patience(), Bounds::default());
        self.stream_raw(arg, steps, &mut |frame, series| {
            compute(&mut bounds, &patience, frame, series)?.map_or(Ok(()), &mut hand_on)
        })
    }

    /// Says so where a series does not look like a counter, by its type or by its name.
    fn check_counter(&self, labels: &Labels, span: Span) {
        let name = labels.metric();
        if self.options.features.type_and_unit_labels {
            let kind = labels.get("__type__");
            if !name.is_empty() && !matches!(kind, "counter" | "histogram") {
                let remark = "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
                self.inform(format!("{remark}, got {}: {}", quote(kind), quote(name)), span);
            }
            return;
        }
        let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix));
        if !name.is_empty() && !counter {
            let remark = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
            self.inform(format!("{remark}: {}", quote(name)), span);
        }
    }
}

/// What a kernel made of a series.
struct Computed {
    labels: Labels,
    drop_name: bool,
    points: Points,
    overlaps: bool,
}

impl Made for Computed {
    fn size(&self) -> (usize, usize) {
        (self.points.count(), size_of::<Self>() + self.labels.size() + self.points.size())
    }
}

/// The selector that a range vector is read by, where it is one.
fn matrix(expr: &Expr) -> Option<&MatrixSelector> {
    match &expr.node {
        Node::Paren(inner) => matrix(inner),
        Node::Matrix(matrix) => Some(matrix),
        _ => None,
    }
}

/// Fails where a function knows nothing of samples around its windows.
fn check_extension(site: Site<'_>, arg: &Expr) -> Result<()> {
    let extension = match &arg.node {
        Node::Paren(inner) => return check_extension(site, inner),
        Node::Matrix(matrix) => matrix.selector.extension,
        _ => None,
    };
    let Some(extension) = extension else { return Ok(()) };
    let (word, name) = (extension.name(), site.call.function.name);
    let allowed: &[&str] = match extension {
        RangeExtension::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        RangeExtension::Smoothed => &["delta", "increase", "rate"],
    };
    match allowed.contains(&name) {
        true => Ok(()),
        false => {
            let allowed = allowed.join(", ");
            Err(Error::execution(format!("{word} modifier can only be used with: {allowed} - not with {name}")))
        }
    }
}

/// The argument that is a range vector.
pub(crate) fn range_arg<'a>(site: Site<'a>) -> &'a Expr {
    let found = site.call.args.iter().find(|arg| arg.value_type() == ValueType::Matrix);
    found.expect("a function over windows has a range vector among its arguments")
}
