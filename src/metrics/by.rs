//! Metrics with a label whose values are known beforehand.

use std::{marker::PhantomData, ops::Index};

/// A label with a closed set of values.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// All values, in the order of their index.
    const ALL: &'static [Self];
    /// The value as it is written in `/metrics`.
    fn text(self) -> &'static str;
    /// Its place in `ALL`.
    fn index(self) -> usize;
}

/// One metric per value of a label: `metrics.at_risk_samples[Failure::Power]`.
#[derive(Debug)]
pub struct By<L, M> {
    children: Vec<M>,
    label: PhantomData<L>,
}

impl<L: Label, M> By<L, M> {
    pub(super) fn new(child: impl Fn(&str) -> M) -> Self {
        Self { children: L::ALL.iter().map(|value| child(value.text())).collect(), label: PhantomData }
    }
}

impl<L: Label, M> Index<L> for By<L, M> {
    type Output = M;

    fn index(&self, value: L) -> &M {
        &self.children[value.index()]
    }
}

macro_rules! label {
    ($(#[$doc:meta])* $type:ident $name:literal { $($(#[$variant_doc:meta])* $variant:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl Label for $type {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// The kinds of file that are synced.
    FileKind "file" {
        /// A segment of the log.
        Wal "wal",
        /// A container of pages and commit records.
        Container "container",
        /// A part or index part.
        Part "part",
        /// The manifest, its copy, or CURRENT.
        Manifest "manifest",
        /// A directory's names.
        Directory "directory",
    }
}

label! {
    /// The directories a server writes to.
    Directory "directory" {
        /// The data directory.
        Data "data",
        /// Where the log is.
        Wal "wal",
        /// Where the log's second copy is.
        WalMirror "wal-mirror",
    }
}

label! {
    /// The watermark a write waited for.
    AckLevel "level" {
        /// Visible to queries.
        Memory "memory",
        /// Safe from a process crash.
        Os "os",
        /// Safe from a power cut.
        Disk "disk",
    }
}

label! {
    /// The kinds of crash.
    Failure "failure" {
        /// kill -9, out of memory, panic.
        Process "process",
        /// Power cut, kernel panic.
        Power "power",
    }
}

label! {
    /// Why a sample of a well-formed line was not taken.
    Rejection "reason" {
        /// Its time lies before 1970 or beyond what nanoseconds in 64 bits can say.
        Time "time",
        /// A limit on streams, tables or fields was reached.
        Limit "limit",
        /// It is older than the retention.
        Retention "retention",
        /// Its value is no number that can be kept.
        Value "value",
    }
}

label! {
    /// How a query ended.
    QueryResult "result" {
        /// Answered.
        Success "success",
        /// Refused: it is no valid query, or a parameter is wrong.
        BadData "bad_data",
        /// Failed while it ran.
        Execution "execution",
        /// Ran out of time.
        Timeout "timeout",
        /// Its client went away, or somebody ended it.
        Canceled "canceled",
        /// Not run, or ended, as others took all there is.
        Rejected "rejected",
        /// The storage failed.
        Internal "internal",
    }
}

label! {
    /// Why a query was not run, or ended, though nothing is wrong with it.
    QueryRejection "reason" {
        /// As many as may were waiting already.
        QueueFull "queue_full",
        /// It waited as long as it may.
        QueueWait "queue_wait",
        /// All queries together held as much memory as they may.
        Memory "memory",
    }
}
