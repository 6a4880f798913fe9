//! Label sets as PromQL sees them.

use std::{fmt, sync::Arc};

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// A set of labels, sorted by name, each name once, no empty value. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of `name`; empty when the label is absent, which PromQL takes for the same thing.
    pub fn get(&self, name: &str) -> &str {
        match self.0.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(index) => &self.0[index].1,
            Err(_) => "",
        }
    }

    /// The metric name, empty if there is none.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the labels that `keep` accepts.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        self.0.iter().filter(|(name, _)| keep(name)).cloned().collect()
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder(self.0.to_vec())
    }
}

/// Sorted by name already; used by the functions above.
impl FromIterator<(Arc<str>, Arc<str>)> for Labels {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, Arc<str>)>>(labels: T) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in labels {
            builder.set(name, value);
        }
        builder.build()
    }
}

impl<'a, const N: usize> From<[(&'a str, &'a str); N]> for Labels {
    fn from(labels: [(&'a str, &'a str); N]) -> Self {
        labels.into_iter().map(|(name, value)| (Arc::from(name), Arc::from(value))).collect()
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
pub struct LabelsBuilder(Vec<(Arc<str>, Arc<str>)>);

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        match (self.0.binary_search_by(|(n, _)| n.cmp(&name)), value.is_empty()) {
            (Ok(index), true) => drop(self.0.remove(index)),
            (Ok(index), false) => self.0[index].1 = value,
            (Err(_), true) => {}
            (Err(index), false) => self.0.insert(index, (name, value)),
        }
        self
    }

    /// Removes a label if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.0.retain(|(n, _)| &**n != name);
        self
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
