//! Made-up columns of the kinds that come in, each from a fixed seed.

use fastrand::Rng;

pub(super) const ROWS: usize = 8192;

/// About normal: the sum of twelve uniform numbers.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

fn walk(seed: u64, count: usize, mut step: impl FnMut(&mut Rng, f64) -> f64) -> Vec<f64> {
    let mut rng = Rng::with_seed(seed);
    let mut x = 50.0;
    (0..count)
        .map(|_| {
            x = step(&mut rng, x);
            x
        })
        .collect()
}

pub(super) fn int_gauge(count: usize) -> Vec<f64> {
    walk(1, count, |rng, x| (x + normal(rng)).clamp(0.0, 100.0)).into_iter().map(f64::round).collect()
}

pub(super) fn two_decimals(count: usize) -> Vec<f64> {
    let walk = walk(2, count, |rng, x| (x + normal(rng)).clamp(0.0, 100.0));
    walk.into_iter().map(|x| (x * 100.0).round() / 100.0).collect()
}

pub(super) fn counter(count: usize) -> Vec<f64> {
    walk(3, count, |rng, x| x + (20.0 + 4.0 * normal(rng)).round().max(0.0))
}

pub(super) fn booleans(count: usize) -> Vec<f64> {
    walk(4, count, |rng, x| if rng.f64() < 0.01 { f64::from(x != 1.0) } else { f64::from(x == 1.0) })
}

pub(super) fn rarely_changing(count: usize) -> Vec<f64> {
    walk(5, count, |rng, x| if rng.f64() < 0.001 { x + rng.i32(-20..20) as f64 } else { x })
}

pub(super) fn noisy(count: usize) -> Vec<f64> {
    walk(6, count, |rng, _| 21.5 + normal(rng))
}

pub(super) fn latencies(count: usize) -> Vec<f64> {
    walk(7, count, |rng, _| ((3.0 + 1.2 * normal(rng)).exp() * 1000.0).round() / 1e6)
}

pub(super) fn few_distinct(count: usize) -> Vec<f64> {
    const SIZES: [f64; 7] = [4096.0, 65536.0, 123.0, 7.0, 1048576.0, 99999.0, 31.0];
    walk(8, count, |rng, _| SIZES[rng.usize(..7).min(rng.usize(..7))])
}

pub(super) fn slow_counter(count: usize) -> Vec<f64> {
    walk(9, count, |rng, x| if rng.f64() < 0.15 { x + rng.u32(1..500) as f64 } else { x })
}

/// Sums of decimals, a few units in the last place beside one.
pub(super) fn sums(count: usize) -> Vec<f64> {
    let two_decimals = two_decimals(count + 2);
    two_decimals.windows(3).map(|window| window.iter().map(|x| (x * 10.0).round() / 10.0).sum::<f64>()).collect()
}

/// Every 10 s, exactly.
pub(super) fn regular_times(count: usize) -> Vec<i64> {
    (0..count as i64).map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000).collect()
}

/// Every 15 s with 3 ms of jitter, in whole milliseconds, and now and then one missing.
pub(super) fn scraped_times(count: usize) -> Vec<i64> {
    let mut rng = Rng::with_seed(10);
    let mut tick = 0;
    let at = |_| {
        tick += if rng.f64() < 0.002 { 3 } else { 1 };
        (1_700_000_000_123 + tick * 15_000 + (3.0 * normal(&mut rng)).round() as i64) * 1_000_000
    };
    (0..count).map(at).collect()
}

/// As events come, in nanoseconds.
pub(super) fn event_times(count: usize) -> Vec<i64> {
    let mut rng = Rng::with_seed(11);
    let mut time = 1_700_000_000_000_000_000;
    let at = |_| {
        time += (-(1.0 - rng.f64()).ln() * 1e7) as i64;
        time
    };
    (0..count).map(at).collect()
}

pub(super) fn all_values(count: usize) -> Vec<(&'static str, Vec<f64>)> {
    vec![
        ("const", vec![1.5; count]),
        ("int_gauge", int_gauge(count)),
        ("two_decimals", two_decimals(count)),
        ("counter", counter(count)),
        ("booleans", booleans(count)),
        ("rarely_changing", rarely_changing(count)),
        ("noisy", noisy(count)),
        ("latencies", latencies(count)),
        ("few_distinct", few_distinct(count)),
        ("slow_counter", slow_counter(count)),
        ("sums", sums(count)),
    ]
}

pub(super) fn all_times(count: usize) -> Vec<(&'static str, Vec<i64>)> {
    vec![("regular", regular_times(count)), ("scraped", scraped_times(count)), ("events", event_times(count))]
}
