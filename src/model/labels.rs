//! Label sets as PromQL sees them.
//!
//! ```text
//! labels: (string name, string value)*      by name, ascending
//! string: length, in digits of base 64 | UTF-8 bytes
//! digit:  low ones first; 0x40 says that another one follows
//! ```
//!
//! All labels of a set lie in one piece of memory, so making one, comparing two for equality and hashing one is a walk
//! over some 200 bytes. Digits are ASCII, so the whole is text and can be cut between strings.

use std::{cmp::Ordering, fmt, sync::Arc};

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// A set of labels, sorted by name, each name once, no empty value. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The value of `name`; empty when the label is absent, which PromQL takes for the same thing.
    pub fn get(&self, name: &str) -> &str {
        let found = self.iter().find(|(other, _)| *other >= name);
        found.filter(|(other, _)| *other == name).map_or("", |(_, value)| value)
    }

    /// The metric name, empty if there is none.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes they take in memory, shared by all clones.
    pub fn size(&self) -> usize {
        const COUNTS: usize = 16;
        self.0.len() + COUNTS
    }

    /// Only the labels that `keep` accepts.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut text = String::with_capacity(self.0.len());
        let mut labels = self.iter();
        while let (before, Some((name, _))) = (labels.rest, labels.next()) {
            if keep(name) {
                text.push_str(&before[..before.len() - labels.rest.len()]);
            }
        }
        Self(text.into())
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder((*self.0).to_owned())
    }
}

/// By names and values in turn; of a set and one that goes on behind it, the shorter first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut mine, mut theirs) = (&*self.0, &*other.0);
        skip_equal(&mut mine, &mut theirs);
        Iter { rest: mine }.strings().cmp(Iter { rest: theirs }.strings())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The labels of a set, by name.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((take(&mut self.rest)?, take(&mut self.rest)?))
    }
}

impl<'a> Iter<'a> {
    /// Names and values in turn.
    fn strings(mut self) -> impl Iterator<Item = &'a str> {
        std::iter::from_fn(move || take(&mut self.rest))
    }
}

/// Skips the strings that both begin with: labels of one table are the same for most of their length.
fn skip_equal(a: &mut &str, b: &mut &str) {
    let equal = a.as_bytes().chunks(8).zip(b.as_bytes().chunks(8)).take_while(|(a, b)| a == b);
    let equal = equal.map(|(chunk, _)| chunk.len()).sum::<usize>();
    let mut rest = *a;
    let mut skipped = 0;
    while take(&mut rest).is_some() && a.len() - rest.len() <= equal {
        skipped = a.len() - rest.len();
    }
    (*a, *b) = (&a[skipped..], &b[skipped..]);
}

fn put(text: &mut String, string: &str) {
    let mut length = string.len();
    while length >= 0x40 {
        text.push(char::from(length as u8 & 0x3f | 0x40));
        length >>= 6;
    }
    text.push(char::from(length as u8));
    text.push_str(string);
}

/// The string at the beginning of `rest`, which goes from it; `None` at the end.
#[inline]
fn take<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (mut length, mut digits) = (0, 0);
    for digit in rest.bytes() {
        length |= usize::from(digit & 0x3f) << (6 * digits);
        digits += 1;
        if digit < 0x40 {
            let string = &rest[digits..digits + length];
            *rest = &rest[digits + length..];
            return Some(string);
        }
    }
    None
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(labels: T) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in labels {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }
}

impl<'a, const N: usize> From<[(&'a str, &'a str); N]> for Labels {
    fn from(labels: [(&'a str, &'a str); N]) -> Self {
        labels.into_iter().collect()
    }
}

impl fmt::Display for Labels {
    /// As PromQL writes it: `up{job="a"}`; `{}` when empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric())?;
        let others = self.iter().filter(|(name, _)| *name != METRIC_NAME);
        if others.clone().next().is_none() {
            return if self.is_empty() { f.write_str("{}") } else { Ok(()) };
        }
        for (index, (name, value)) in others.enumerate() {
            write!(f, "{}{name}={value:?}", if index == 0 { "{" } else { ", " })?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Labels on their way to a set.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder(String);

impl LabelsBuilder {
    /// Room for labels whose names and values have `bytes` bytes in all.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Adds a label with a value, behind all there are; its name must be greater than theirs.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        put(&mut self.0, name);
        put(&mut self.0, value);
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> &mut Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        let (at, len) = self.place(name);
        let mut label = Self::default();
        if !value.is_empty() {
            label.push(name, value);
        }
        self.0.replace_range(at..at + len, &label.0);
        self
    }

    /// Removes a label if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Where a label begins or would begin, and how many bytes it has.
    fn place(&self, name: &str) -> (usize, usize) {
        let mut labels = Iter { rest: &self.0 };
        loop {
            let at = self.0.len() - labels.rest.len();
            match labels.next() {
                Some((other, _)) if other < name => {}
                Some((other, _)) if other == name => return (at, self.0.len() - labels.rest.len() - at),
                _ => return (at, 0),
            }
        }
    }

    /// The finished set.
    pub fn build(self) -> Labels {
        Labels(self.0.into())
    }
}

/// The metric name of a table's field: `measurement_field`, or the measurement alone where the field is `value` or
/// has no name (remote write).
pub fn metric_name(measurement: &str, field: &str) -> String {
    match field {
        "" | "value" => measurement.to_owned(),
        _ => format!("{measurement}_{field}"),
    }
}
