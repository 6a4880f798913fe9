//! Numbers with a type.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// Place of a batch in the order of all batches this directory ever accepted. The first is 1; 0 means "none yet".
    /// Numbers are never given out twice, across restarts too.
    SeqNo(u64)
}
id! {
    /// A stream (a table and one set of tags). Global to the directory, never reused.
    StreamId(u32)
}
id! {
    /// A stream's dense place in this process's memtable, given at its first write after a start.
    Slot(u32)
}
id! {
    /// A table (measurement) in this process's schema. Not stored: files name their tables.
    TableId(u32)
}
id! {
    /// A field name in this process's schema, shared by all tables. Not stored: files name their fields.
    FieldId(u32)
}
id! {
    /// A table and a sorted set of its fields, in this process's schema. Log segments define the layouts they use.
    LayoutId(u32)
}
id! {
    /// A part file. Global to the directory, rising, never reused.
    PartId(u64)
}

impl SeqNo {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
