//! Measuring on a noisy machine: cases run interleaved, warm, and report medians.

use std::time::Instant;

/// One thing to measure: a name and a closure that does `units` of work.
pub struct Case<'a> {
    /// What the row is called.
    pub name: String,
    /// How many units (samples, rows, …) one call does.
    pub units: f64,
    /// How many bytes one call reads; 0 where that says nothing.
    pub bytes: f64,
    /// The work.
    pub run: Box<dyn FnMut() + 'a>,
}

/// Runs all cases `rounds` times in turn after one warm-up round each, and prints a row per case: median and spread of
/// ns per unit, and GB/s where the case has bytes.
#[allow(clippy::disallowed_methods)] // a bench is where the clock is read
pub fn interleaved(title: &str, unit: &str, rounds: usize, mut cases: Vec<Case<'_>>) {
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    for round in 0..=rounds {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (case.run)();
            let elapsed = start.elapsed().as_nanos() as f64;
            if round > 0 {
                times.push(elapsed);
            }
        }
    }
    println!("{title} (median of {rounds}, min-max)");
    for (case, times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let [median, min, max] = [times[rounds / 2], times[0], times[rounds - 1]].map(|t| t / case.units);
        let rate =
            if case.bytes > 0.0 { format!("  {:6.2} GB/s", case.bytes / times[rounds / 2]) } else { String::new() };
        println!("  {:<40} {median:8.2} ns/{unit} [{min:.2}-{max:.2}]{rate}", case.name);
    }
}
