//! What one write request carries, in columns.

use crate::model::{LayoutId, Slot, StreamId};

/// The rows of one write, grouped by layout. Within a batch the later row of equal stream, field and time wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// One entry per layout, in the order of first appearance.
    pub groups: Vec<Rows>,
}

/// Rows of one layout in arrival order: three columns and a row-major table of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The layout all rows have; it names the table and the fields.
    pub layout: LayoutId,
    /// How many fields the layout has; at least 1.
    pub width: usize,
    /// The stream of each row.
    pub streams: Vec<StreamId>,
    /// The memtable slot of each row's stream.
    pub slots: Vec<Slot>,
    /// Each row's place among the rows of all groups, ascending; empty where the groups' own order is the order of the rows.
    pub places: Vec<u32>,
    /// Unix nanoseconds of each row.
    pub times: Vec<i64>,
    /// `width` values a row, in the layout's field order.
    pub values: Vec<f64>,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The values of row `index`.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..][..self.width]
    }
}

impl Batch {
    /// How many samples (values) it carries.
    pub fn samples(&self) -> u64 {
        self.groups.iter().map(|rows| rows.values.len() as u64).sum()
    }

    /// Bytes the columns take in memory: what queues and budgets count.
    pub fn size(&self) -> usize {
        self.groups.iter().map(|rows| rows.len() * 20 + rows.values.len() * 8 + size_of::<Rows>()).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(Rows::is_empty)
    }
}
