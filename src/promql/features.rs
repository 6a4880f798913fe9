//! Experimental parts of the language, under the names that Prometheus's `--enable-feature` has for them.

use std::str::FromStr;

/// Which experimental parts are enabled. By default none is, as in Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: functions marked so, `limitk` and `limit_ratio`.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic, `step()` and `range()` in durations.
    pub duration_expr: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub binop_fill_modifiers: bool,
    /// `promql-delayed-name-removal`: names go at the end of a query rather than at each function.
    pub delayed_name_removal: bool,
    /// `use-start-timestamps`: counters go by the start timestamps of their samples.
    pub start_timestamps: bool,
    /// `type-and-unit-labels`: `rate` and `increase` tell a counter by its `__type__` rather than by its name.
    pub type_and_unit_labels: bool,
}

/// A name that is no feature's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown feature {0:?}; there are {names}", names = Features::NAMES.map(|(name, _)| name).join(", "))]
pub struct UnknownFeature(String);

/// Where a feature's switch is.
type Switch = fn(&mut Features) -> &mut bool;

impl Features {
    /// The features by name.
    const NAMES: [(&'static str, Switch); 7] = [
        ("promql-binop-fill-modifiers", |features| &mut features.binop_fill_modifiers),
        ("promql-delayed-name-removal", |features| &mut features.delayed_name_removal),
        ("promql-duration-expr", |features| &mut features.duration_expr),
        ("promql-experimental-functions", |features| &mut features.experimental_functions),
        ("promql-extended-range-selectors", |features| &mut features.extended_range_selectors),
        ("type-and-unit-labels", |features| &mut features.type_and_unit_labels),
        ("use-start-timestamps", |features| &mut features.start_timestamps),
    ];

    /// All that change what may be written; not those that change what it means.
    pub const SYNTAX: Self = Self {
        experimental_functions: true,
        duration_expr: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
        delayed_name_removal: false,
        start_timestamps: false,
        type_and_unit_labels: false,
    };

    /// Each feature's name, sorted, and whether it is enabled.
    pub fn iter(mut self) -> impl Iterator<Item = (&'static str, bool)> {
        Self::NAMES.into_iter().map(move |(name, switch)| (name, *switch(&mut self)))
    }

    /// Those enabled here or there.
    #[must_use]
    pub fn union(mut self, mut other: Self) -> Self {
        Self::NAMES.iter().for_each(|(_, switch)| *switch(&mut self) |= *switch(&mut other));
        self
    }
}

impl FromStr for Features {
    type Err = UnknownFeature;

    /// Reads names with commas between them.
    fn from_str(text: &str) -> Result<Self, UnknownFeature> {
        let mut features = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let row = Self::NAMES.iter().find(|row| row.0 == name);
            let (_, switch) = row.ok_or_else(|| UnknownFeature(name.to_owned()))?;
            *switch(&mut features) = true;
        }
        Ok(features)
    }
}
