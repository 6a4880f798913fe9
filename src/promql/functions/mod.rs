//! The functions of PromQL: one row each, read by the parser's type check and by the evaluator alike.
//!
//! Always: rows are sorted by name, so that [`find`] can search by halves. All functions of Prometheus 3.14 are here, those
//! it keeps behind a feature flag included (`experimental`).

mod absent;
pub(crate) mod digest;
mod extended;
mod histogram;
mod info;
mod labels;
mod math;
mod number;
mod order;
mod over_time;
pub(crate) mod rate;
mod regression;
mod sliding;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use crate::promql::{
    ast::ValueType::{self, Matrix, Scalar, String, Vector},
    eval::{Eval, Result, Scalars, Site, series::Sink, steps::Steps, window::Windows},
};
use Naming::{Counter, Dropped, Kept};

/// A function's row.
#[derive(Debug)]
pub struct Function {
    /// Its name in queries.
    pub name: &'static str,
    /// The types of its arguments.
    pub args: &'static [ValueType],
    /// How many of the last arguments may be left out; `VARIADIC` lets the last one repeat any number of times, or none.
    pub optional: usize,
    /// The type of its result.
    pub returns: ValueType,
    /// Whether Prometheus has it behind a feature flag.
    pub experimental: bool,
    /// One line for people.
    pub help: &'static str,
    /// What it does.
    pub(crate) body: Body,
}

/// What a function does, by what it needs to see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Each number of a vector alone.
    Map(fn(f64) -> f64),
    /// Each number of a vector, and the scalar arguments at its step; `None` takes the sample away.
    MapWith(fn(f64, &[f64]) -> Option<f64>),
    /// Each number of a vector as a date and time in UTC; the evaluation time where there is no argument.
    Calendar(fn(&time::Civil) -> f64),
    /// The windows of a series.
    Window(Kernel, Naming),
    /// The query's times, or other numbers.
    Scalar(ScalarBody),
    /// Whatever it asks the evaluator for.
    Vector(VectorBody),
}

/// Fills a series' column from its windows, every place of it.
pub(crate) type Kernel = fn(&Windows<'_>, &mut [f64]) -> Result<()>;
/// Gives a number per step.
pub(crate) type ScalarBody = for<'a> fn(&Eval<'a>, Site<'a>, Steps) -> Result<Scalars>;
/// Hands the series of the result to the sink.
pub(crate) type VectorBody = for<'a> fn(&Eval<'a>, Site<'a>, Steps, &mut Sink<'_>) -> Result<()>;

/// What becomes of a series' name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// It goes: the result is another quantity.
    Dropped,
    /// As `Dropped`, and it should be a counter's.
    Counter,
    /// It stays: the result is a sample of the series.
    Kept,
}

impl Function {
    /// The fewest arguments a call may have.
    pub fn args_min(&self) -> usize {
        self.args.len() - if self.optional == VARIADIC { 1 } else { self.optional }
    }

    /// The most arguments a call may have; `None` for any number.
    pub fn args_max(&self) -> Option<usize> {
        (self.optional != VARIADIC).then_some(self.args.len())
    }

    /// The type of the argument at `index`.
    ///
    /// # Panics
    /// When the function takes no argument there.
    pub fn arg(&self, index: usize) -> ValueType {
        match self.optional {
            VARIADIC => self.args[index.min(self.args.len() - 1)],
            _ => self.args[index],
        }
    }
}

/// Rows are the same where their names are: every name has one row.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// `Function::optional` of a function whose last argument may repeat.
pub const VARIADIC: usize = usize::MAX;

/// The row of a name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|row| row.name.cmp(name)).ok().map(|index| &FUNCTIONS[index])
}

/// Every function, sorted by name.
#[rustfmt::skip] // one row, one line
pub static FUNCTIONS: &[Function] = &[
    Function { name: "abs", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Absolute value.", body: Body::Map(f64::abs) },
    Function { name: "absent", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "1 for the labels asked for when no series answers.", body: Body::Vector(absent::absent) },
    Function { name: "absent_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "1 for the labels asked for when no series has a sample in the window.", body: Body::Vector(absent::absent_over_time) },
    Function { name: "acos", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Arc cosine, in radians.", body: Body::Map(f64::acos) },
    Function { name: "acosh", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Inverse hyperbolic cosine.", body: Body::Map(f64::acosh) },
    Function { name: "asin", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Arc sine, in radians.", body: Body::Map(f64::asin) },
    Function { name: "asinh", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Inverse hyperbolic sine.", body: Body::Map(f64::asinh) },
    Function { name: "atan", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Arc tangent, in radians.", body: Body::Map(f64::atan) },
    Function { name: "atanh", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Inverse hyperbolic tangent.", body: Body::Map(f64::atanh) },
    Function { name: "avg_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Mean of the values in the window.", body: Body::Window(over_time::avg, Dropped) },
    Function { name: "ceil", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Rounded up to an integer.", body: Body::Map(f64::ceil) },
    Function { name: "changes", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "How often the value changed within the window.", body: Body::Window(over_time::changes, Dropped) },
    Function { name: "clamp", args: &[Vector, Scalar, Scalar], optional: 0, returns: Vector, experimental: false, help: "Kept between a lower and an upper bound.", body: Body::MapWith(math::clamp) },
    Function { name: "clamp_max", args: &[Vector, Scalar], optional: 0, returns: Vector, experimental: false, help: "Kept at or below a bound.", body: Body::MapWith(math::clamp_max) },
    Function { name: "clamp_min", args: &[Vector, Scalar], optional: 0, returns: Vector, experimental: false, help: "Kept at or above a bound.", body: Body::MapWith(math::clamp_min) },
    Function { name: "cos", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Cosine of radians.", body: Body::Map(f64::cos) },
    Function { name: "cosh", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Hyperbolic cosine.", body: Body::Map(f64::cosh) },
    Function { name: "count_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Number of samples in the window.", body: Body::Window(over_time::count, Dropped) },
    Function { name: "day_of_month", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Day of the month in UTC, from 1; of now without an argument.", body: Body::Calendar(time::day_of_month) },
    Function { name: "day_of_week", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Day of the week in UTC, Sunday is 0; of now without an argument.", body: Body::Calendar(time::day_of_week) },
    Function { name: "day_of_year", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Day of the year in UTC, from 1; of now without an argument.", body: Body::Calendar(time::day_of_year) },
    Function { name: "days_in_month", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Length of the month in days; of the current one without an argument.", body: Body::Calendar(time::days_in_month) },
    Function { name: "deg", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Radians to degrees.", body: Body::Map(f64::to_degrees) },
    Function { name: "delta", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Difference of last and first value, extrapolated to the window; for gauges.", body: Body::Window(rate::delta, Dropped) },
    Function { name: "deriv", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Slope per second by linear regression; for gauges.", body: Body::Window(regression::deriv, Dropped) },
    Function { name: "double_exponential_smoothing", args: &[Matrix, Scalar, Scalar], optional: 0, returns: Vector, experimental: true, help: "Smoothed value from a smoothing factor and a trend factor; for gauges.", body: Body::Vector(regression::double_exponential_smoothing) },
    Function { name: "end", args: &[], optional: 0, returns: Scalar, experimental: true, help: "End of the query as asked for, in Unix seconds.", body: Body::Scalar(number::end) },
    Function { name: "exp", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "e to the power of the value.", body: Body::Map(f64::exp) },
    Function { name: "first_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Oldest value in the window.", body: Body::Window(over_time::first, Kept) },
    Function { name: "floor", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Rounded down to an integer.", body: Body::Map(f64::floor) },
    Function { name: "histogram_avg", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Mean of the observations in a native histogram.", body: Body::Vector(histogram::native) },
    Function { name: "histogram_count", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Number of observations in a native histogram.", body: Body::Vector(histogram::native) },
    Function { name: "histogram_fraction", args: &[Scalar, Scalar, Vector], optional: 0, returns: Vector, experimental: false, help: "Estimated share of observations between two values.", body: Body::Vector(histogram::fraction) },
    Function { name: "histogram_quantile", args: &[Scalar, Vector], optional: 0, returns: Vector, experimental: false, help: "Estimated quantile of the observations in a histogram.", body: Body::Vector(histogram::quantile) },
    Function { name: "histogram_quantiles", args: &[Vector, String, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar], optional: 9, returns: Vector, experimental: true, help: "Several quantiles of a histogram, each under a value of the label named.", body: Body::Vector(histogram::quantiles) },
    Function { name: "histogram_stddev", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Estimated standard deviation of the observations in a native histogram.", body: Body::Vector(histogram::native) },
    Function { name: "histogram_stdvar", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Estimated variance of the observations in a native histogram.", body: Body::Vector(histogram::native) },
    Function { name: "histogram_sum", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Sum of the observations in a native histogram.", body: Body::Vector(histogram::native) },
    Function { name: "hour", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Hour of the day in UTC; of now without an argument.", body: Body::Calendar(time::hour) },
    Function { name: "idelta", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Difference of the last two values in the window; for gauges.", body: Body::Window(rate::idelta, Dropped) },
    Function { name: "increase", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Growth over the window, extrapolated to its edges; for counters.", body: Body::Window(rate::increase, Counter) },
    Function { name: "info", args: &[Vector, Vector], optional: 1, returns: Vector, experimental: true, help: "Adds the labels of info series that share the identifying labels.", body: Body::Vector(info::info) },
    Function { name: "irate", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Growth per second between the last two samples; for counters.", body: Body::Window(rate::irate, Dropped) },
    Function { name: "label_join", args: &[Vector, String, String, String], optional: VARIADIC, returns: Vector, experimental: false, help: "Sets a label to the values of others, joined by a separator.", body: Body::Vector(labels::label_join) },
    Function { name: "label_replace", args: &[Vector, String, String, String, String], optional: 0, returns: Vector, experimental: false, help: "Sets a label from a template where a pattern matches another label.", body: Body::Vector(labels::label_replace) },
    Function { name: "last_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Newest value in the window.", body: Body::Window(over_time::last, Kept) },
    Function { name: "ln", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Natural logarithm.", body: Body::Map(f64::ln) },
    Function { name: "log10", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Logarithm to base 10.", body: Body::Map(f64::log10) },
    Function { name: "log2", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Logarithm to base 2.", body: Body::Map(f64::log2) },
    Function { name: "mad_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: true, help: "Median absolute deviation of the values in the window.", body: Body::Window(over_time::mad, Dropped) },
    Function { name: "max_of", args: &[Scalar, Scalar], optional: 0, returns: Scalar, experimental: true, help: "The greater of two numbers.", body: Body::Scalar(number::max_of) },
    Function { name: "max_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Greatest value in the window.", body: Body::Window(over_time::max, Dropped) },
    Function { name: "min_of", args: &[Scalar, Scalar], optional: 0, returns: Scalar, experimental: true, help: "The lesser of two numbers.", body: Body::Scalar(number::min_of) },
    Function { name: "min_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Least value in the window.", body: Body::Window(over_time::min, Dropped) },
    Function { name: "minute", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Minute of the hour in UTC; of now without an argument.", body: Body::Calendar(time::minute) },
    Function { name: "month", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Month in UTC, January is 1; of now without an argument.", body: Body::Calendar(time::month) },
    Function { name: "pi", args: &[], optional: 0, returns: Scalar, experimental: false, help: "The number pi.", body: Body::Scalar(number::pi) },
    Function { name: "predict_linear", args: &[Matrix, Scalar], optional: 0, returns: Vector, experimental: false, help: "Value so many seconds from now by linear regression; for gauges.", body: Body::Window(regression::predict_linear, Dropped) },
    Function { name: "present_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "1 for every series with a sample in the window.", body: Body::Window(over_time::present, Dropped) },
    Function { name: "quantile_over_time", args: &[Scalar, Matrix], optional: 0, returns: Vector, experimental: false, help: "Quantile of the values in the window.", body: Body::Vector(over_time::quantile) },
    Function { name: "rad", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Degrees to radians.", body: Body::Map(f64::to_radians) },
    Function { name: "range", args: &[], optional: 0, returns: Scalar, experimental: true, help: "Length of the query as asked for, in seconds.", body: Body::Scalar(number::range) },
    Function { name: "rate", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Growth per second over the window, extrapolated to its edges; for counters.", body: Body::Window(rate::rate, Counter) },
    Function { name: "resets", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "How often the value fell within the window; for counters.", body: Body::Window(over_time::resets, Dropped) },
    Function { name: "round", args: &[Vector, Scalar], optional: 1, returns: Vector, experimental: false, help: "Rounded to the nearest integer, or to a multiple of the second argument.", body: Body::MapWith(math::round) },
    Function { name: "scalar", args: &[Vector], optional: 0, returns: Scalar, experimental: false, help: "The only value of the vector as a number; NaN unless there is exactly one.", body: Body::Scalar(number::scalar) },
    Function { name: "sgn", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "1, 0 or -1 by sign.", body: Body::Map(math::sgn) },
    Function { name: "sin", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Sine of radians.", body: Body::Map(f64::sin) },
    Function { name: "sinh", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Hyperbolic sine.", body: Body::Map(f64::sinh) },
    Function { name: "sort", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Ordered by value, rising.", body: Body::Vector(order::sort) },
    Function { name: "sort_by_label", args: &[Vector, String], optional: VARIADIC, returns: Vector, experimental: true, help: "Ordered by the labels named, rising, numbers within them by size.", body: Body::Vector(order::sort_by_label) },
    Function { name: "sort_by_label_desc", args: &[Vector, String], optional: VARIADIC, returns: Vector, experimental: true, help: "Ordered by the labels named, falling, numbers within them by size.", body: Body::Vector(order::sort_by_label_desc) },
    Function { name: "sort_desc", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Ordered by value, falling.", body: Body::Vector(order::sort_desc) },
    Function { name: "sqrt", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Square root.", body: Body::Map(f64::sqrt) },
    Function { name: "start", args: &[], optional: 0, returns: Scalar, experimental: true, help: "First evaluation time of the query, in Unix seconds.", body: Body::Scalar(number::start) },
    Function { name: "start_timestamp", args: &[Vector], optional: 0, returns: Vector, experimental: true, help: "Start timestamp of each sample, in Unix seconds; 0 where it has none.", body: Body::Vector(time::start_timestamp) },
    Function { name: "stddev_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Standard deviation of the values in the window.", body: Body::Window(over_time::stddev, Dropped) },
    Function { name: "stdvar_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Variance of the values in the window.", body: Body::Window(over_time::stdvar, Dropped) },
    Function { name: "step", args: &[], optional: 0, returns: Scalar, experimental: true, help: "Distance of evaluation times in seconds; 0 for an instant query.", body: Body::Scalar(number::step) },
    Function { name: "sum_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: false, help: "Sum of the values in the window.", body: Body::Window(over_time::sum, Dropped) },
    Function { name: "tan", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Tangent of radians.", body: Body::Map(f64::tan) },
    Function { name: "tanh", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Hyperbolic tangent.", body: Body::Map(f64::tanh) },
    Function { name: "time", args: &[], optional: 0, returns: Scalar, experimental: false, help: "Evaluation time in Unix seconds.", body: Body::Scalar(number::time) },
    Function { name: "timestamp", args: &[Vector], optional: 0, returns: Vector, experimental: false, help: "Timestamp of each sample, in Unix seconds.", body: Body::Vector(time::timestamp) },
    Function { name: "ts_of_first_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: true, help: "Timestamp of the oldest sample in the window, in Unix seconds.", body: Body::Window(over_time::ts_of_first, Dropped) },
    Function { name: "ts_of_last_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: true, help: "Timestamp of the newest sample in the window, in Unix seconds.", body: Body::Window(over_time::ts_of_last, Dropped) },
    Function { name: "ts_of_max_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: true, help: "Timestamp of the last greatest value in the window, in Unix seconds.", body: Body::Window(over_time::ts_of_max, Dropped) },
    Function { name: "ts_of_min_over_time", args: &[Matrix], optional: 0, returns: Vector, experimental: true, help: "Timestamp of the last least value in the window, in Unix seconds.", body: Body::Window(over_time::ts_of_min, Dropped) },
    Function { name: "vector", args: &[Scalar], optional: 0, returns: Vector, experimental: false, help: "A number as a vector of one sample without labels.", body: Body::Vector(number::vector) },
    Function { name: "year", args: &[Vector], optional: 1, returns: Vector, experimental: false, help: "Year in UTC; of now without an argument.", body: Body::Calendar(time::year) },
];
