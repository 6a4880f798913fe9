//! What a column would cost, from a sample of it.

use crate::codec::{buckets::Buckets, bytes::bit_width};

/// Columns up to this length are looked at whole, longer ones in runs.
const WHOLE_MAX: usize = 256;
const RUNS: usize = 8;
/// A quarter of the column in all, but no run longer than this.
const RUN_MAX: usize = 64;

/// The best order of differences for a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub(super) order: u8,
    /// The median residual.
    pub(super) centre: i64,
    /// Bits a value, coded in buckets around the centre.
    pub(super) cost: f64,
}

/// Bits an ideal coder takes for all that the histogram counts.
pub(super) fn entropy(histogram: &[u32]) -> f64 {
    let total: u32 = histogram.iter().sum();
    let total = f64::from(total);
    let of = |&count: &u32| f64::from(count) * (total / f64::from(count)).log2();
    histogram.iter().filter(|&&count| count > 0).map(of).sum()
}

/// Compares the orders 0, 1 and 2. `column` starts at 0 and has at least 3 values; `sample` is scratch.
///
/// Each is centred on its median before it is measured: a counter's differences are all positive, and without that,
/// order 2 would seem the better one far too often.
pub(super) fn best_order(column: &[i64], sample: &mut Vec<i64>) -> Estimate {
    let estimate = |order| {
        sample.clear();
        if column.len() <= WHOLE_MAX {
            push_residuals(column, order, sample);
        } else {
            let size = (column.len() / (4 * RUNS)).min(RUN_MAX);
            for run in 0..RUNS {
                let start = run * (column.len() - size) / (RUNS - 1);
                push_residuals(&column[start..start + size], order, sample);
            }
        }
        measure(order, sample)
    };
    let [plain, first, second] = [0, 1, 2].map(estimate);
    let best = if first.cost < plain.cost { first } else { plain };
    // Order 2 is slower to decode, so it has to be better by a little.
    if second.cost + 0.02 < best.cost { second } else { best }
}

fn push_residuals(run: &[i64], order: u8, sample: &mut Vec<i64>) {
    let windows = run.array_windows();
    match order {
        0 => sample.extend_from_slice(&run[2..]),
        1 => sample.extend(windows.map(|[_, b, c]| c.wrapping_sub(*b))),
        _ => sample.extend(windows.map(|[a, b, c]| c.wrapping_sub(*b).wrapping_sub(b.wrapping_sub(*a)))),
    }
}

fn measure(order: u8, sample: &mut [i64]) -> Estimate {
    let centre = *sample.select_nth_unstable(sample.len() / 2).1;
    let widest = sample.iter().fold(0, |max, x| x.wrapping_sub(centre).unsigned_abs().max(max));
    let buckets = Buckets::for_width(bit_width(widest));
    let mut histogram = [0; 256];
    let mut extra_bits = 0;
    for x in sample.iter() {
        let (symbol, width) = buckets.place(x.wrapping_sub(centre));
        histogram[usize::from(symbol)] += 1;
        extra_bits += u64::from(width);
    }
    let used = histogram.iter().filter(|&&count| count > 0).count();
    // Each symbol in use also costs about two bits of the coder's table.
    let bits = entropy(&histogram) + extra_bits as f64 + 2.0 * used as f64;
    Estimate { order, centre, cost: bits / sample.len() as f64 }
}
