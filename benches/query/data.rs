//! The data: CPUs of hosts, as the devops set of TSBS has them, every ten seconds.
//!
//! Ten random walks between 0 and 100, eight of them in whole numbers and two with two decimals, and one counter that
//! begins again at zero now and then. Timestamps lie in the middle between multiples of ten seconds, so that no sample
//! is ever on the edge of a window: the servers do not agree whether an edge belongs to it.

use std::{fmt, path::Path, str::FromStr};

use fastrand::Rng;

use crate::devops::FIELD_NAMES;

/// Seconds between two samples of a series.
pub(crate) const INTERVAL: i64 = 10;
/// Distance of the samples from the multiples of the interval.
const OFFSET_MILLIS: i64 = INTERVAL * 1000 / 2;
/// The counter, a field of `cpu` like the others.
pub(crate) const COUNTER: &str = "busy_seconds_total";
/// Fields that have two decimals.
const WITH_DECIMALS: [&str; 2] = ["usage_iowait", "usage_guest_nice"];
/// Fields of a row.
pub(crate) const FIELDS: usize = FIELD_NAMES.len() + 1;
/// On average a counter begins again after so many rows (nearly six hours).
const ROWS_PER_RESET: u32 = 2_000;

/// What all servers hold. The same set has the same samples wherever it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataSet {
    /// Hosts, each with a series for every field.
    pub(crate) hosts: usize,
    /// How long.
    pub(crate) hours: i64,
    /// Of all random numbers.
    pub(crate) seed: u64,
    /// No sample is later; Unix seconds, a whole hour.
    pub(crate) end: i64,
}

impl DataSet {
    /// No sample is earlier; Unix seconds.
    pub(crate) fn start(&self) -> i64 {
        self.end - self.hours * 3600
    }

    /// Samples of one series.
    pub(crate) fn rows(&self) -> usize {
        (self.hours * 3600 / INTERVAL) as usize
    }

    /// All samples.
    pub(crate) fn samples(&self) -> usize {
        self.rows() * self.hosts * FIELDS
    }

    /// Unix milliseconds of a row.
    pub(crate) fn millis(&self, row: usize) -> i64 {
        (self.start() + row as i64 * INTERVAL) * 1000 + OFFSET_MILLIS
    }

    /// The set a file describes, where there is one.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.parse().unwrap_or_else(|error| panic!("read {}: {error}", path.display())))
    }
}

/// For people and for the file beside the data.
impl fmt::Display for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, hours, seed, end } = self;
        write!(f, "{hosts} hosts, {hours} hours, seed {seed}, end {end}")
    }
}

impl FromStr for DataSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<i64> = text.split([' ', ',', '\n']).filter_map(|word| word.parse().ok()).collect();
        let &[hosts, hours, seed, end] = numbers.as_slice() else {
            return Err(format!("four numbers are expected, this is `{text}`"));
        };
        Ok(Self { hosts: hosts as usize, hours, seed: seed as u64, end })
    }
}

/// The name of each field.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    FIELD_NAMES.into_iter().chain([COUNTER])
}

/// The values of one host at one time, in hundredths.
pub(crate) type Row = [i64; FIELDS];

/// A host's values, one row after the other.
pub(crate) struct Walk {
    random: Rng,
    state: Row,
    is_whole: [bool; FIELDS],
}

impl Walk {
    /// The values of one of a set's hosts.
    pub(crate) fn new(set: &DataSet, host: usize) -> Self {
        let mut random = Rng::with_seed(set.seed ^ ((host as u64) << 32));
        let state = std::array::from_fn(|_| random.i64(0..=PERCENT_MAX));
        let mut names = fields();
        let is_whole = std::array::from_fn(|_| {
            let name = names.next().expect("there are as many");
            name != COUNTER && !WITH_DECIMALS.contains(&name)
        });
        Self { random, state, is_whole }
    }

    /// The next row.
    pub(crate) fn step(&mut self) -> Row {
        let (counter, percents) = self.state.split_last_mut().expect("there are eleven");
        for percent in percents {
            let step = self.random.i64(-150..=150) + self.random.i64(-150..=150);
            *percent = (*percent + step).clamp(0, PERCENT_MAX);
        }
        if self.random.u32(0..ROWS_PER_RESET) == 0 {
            *counter = 0;
        }
        *counter += self.random.i64(0..=BUSY_MAX);
        let mut row = self.state;
        for (value, _) in row.iter_mut().zip(self.is_whole).filter(|(_, is_whole)| *is_whole) {
            *value -= *value % 100;
        }
        row
    }
}

const PERCENT_MAX: i64 = 100 * 100;
const BUSY_MAX: i64 = INTERVAL * 100;
