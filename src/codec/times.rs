//! Columns of timestamps.
//!
//! ```text
//! times: mode u8, then by mode
//! INTS   0: column of integers
//! GRID   1: first zigzag | unit varint | slope f64 bits u64 | steps | column of residuals
//! steps: count varint, then each: rows since the last varint | ticks from the row before varint   (all others: 1 tick)
//! ```
//!
//! A scraper's timestamps sit on a fixed grid, each with a jitter of its own. So a row's time is told as the tick it
//! belongs to and its distance from there: `time = first + unit × (⌊tick × slope⌋ + residual)`. That is half a bit a row
//! less than differences, which carry the jitter of two rows.

use crate::codec::{
    Level,
    bytes::{Error, Reader, put_i64, put_u64},
    flat::keep_smaller,
    ints::{IntDecoder, IntEncoder},
    shape::{Shape, common_divisor},
};

const INTS: u8 = 0;
const GRID: u8 = 1;

/// Fewer rows do not repay the grid's own bytes.
const GRID_MIN: usize = 32;
/// Largest span from first to last time: what is computed along the way stays far within i64.
const SPAN_MAX: u64 = 1 << 61;

pub(super) struct TimeEncoder {
    level: Level,
    grid: Grid,
}

impl TimeEncoder {
    pub(super) fn new(level: Level) -> Self {
        Self { level, grid: Grid::default() }
    }

    pub(super) fn put(&mut self, times: &[i64], ints: &mut IntEncoder, out: &mut Vec<u8>) {
        if times.is_empty() {
            return;
        }
        let start = out.len();
        out.push(INTS);
        ints.put(times, out);
        // 16 bytes hold a regular column; no grid is smaller.
        let irregular = out.len() - start > 16 && times.len() >= GRID_MIN;
        if self.level == Level::Full && irregular && self.grid.fit(times) {
            let second = out.len();
            self.grid.put(times[0], ints, out);
            keep_smaller(out, start, second);
        }
    }
}

/// A fixed grid, and what lies off it.
#[derive(Default)]
struct Grid {
    unit: i64,
    slope: f64,
    /// Rows that are not one tick behind the one before: index, and ticks.
    steps: Vec<(u32, u64)>,
    /// Of each row; the first is 0.
    ticks: Vec<i64>,
    /// Each time less the first, in units.
    distances: Vec<i64>,
    /// Distance from the row's tick.
    residuals: Vec<i64>,
}

impl Grid {
    /// Finds a grid for times in order; false where there is none worth trying.
    fn fit(&mut self, times: &[i64]) -> bool {
        let (first, last) = (times[0], times[times.len() - 1]);
        if !times.is_sorted() || last.abs_diff(first) > SPAN_MAX {
            return false;
        }
        self.unit = common_divisor(times);
        Shape::divide(times, self.unit, &mut self.distances);
        let step = self.usual_step();
        if step == 0 {
            return false;
        }
        self.count_ticks(step);
        if self.ticks.last() == Some(&0) || self.steps.len() * 4 > times.len() {
            return false;
        }
        self.slope = fit_slope(&self.ticks, &self.distances, step);
        self.residuals.clear();
        let pairs = self.distances.iter().zip(&self.ticks);
        self.residuals.extend(pairs.map(|(distance, &tick)| distance - place(tick, self.slope)));
        true
    }

    /// The median difference.
    fn usual_step(&mut self) -> i64 {
        self.residuals.clear();
        self.residuals.extend(self.distances.array_windows().map(|[a, b]| b - a));
        let middle = self.residuals.len() / 2;
        *self.residuals.select_nth_unstable(middle).1
    }

    fn count_ticks(&mut self, step: i64) {
        self.ticks.clear();
        self.ticks.push(0);
        self.steps.clear();
        let mut tick = 0;
        for (index, [a, b]) in self.distances.array_windows().enumerate() {
            let ticks = (b - a + step / 2) / step;
            if ticks != 1 {
                self.steps.push((index as u32 + 1, ticks as u64));
            }
            tick += ticks;
            self.ticks.push(tick);
        }
    }

    fn put(&self, first: i64, ints: &mut IntEncoder, out: &mut Vec<u8>) {
        out.push(GRID);
        put_i64(out, first);
        put_u64(out, self.unit as u64);
        out.extend_from_slice(&self.slope.to_bits().to_le_bytes());
        put_u64(out, self.steps.len() as u64);
        let mut last = 0;
        for &(index, ticks) in &self.steps {
            put_u64(out, u64::from(index - last));
            put_u64(out, ticks);
            last = index;
        }
        ints.put(&self.residuals, out);
    }
}

/// Where a tick is, in units behind the first time.
fn place(tick: i64, slope: f64) -> i64 {
    (tick as f64 * slope) as i64
}

/// Least squares over (tick, distance), then the roundest number that fits as well.
fn fit_slope(ticks: &[i64], distances: &[i64], step: i64) -> f64 {
    let step = step as f64;
    let count = ticks.len() as f64;
    // Around the means, and less the usual step, so that large numbers do not swallow the small differences.
    let rest = |(&tick, &distance): (&i64, &i64)| distance as f64 - step * tick as f64;
    let tick_mean = ticks.iter().map(|&tick| tick as f64).sum::<f64>() / count;
    let rest_mean = ticks.iter().zip(distances).map(rest).sum::<f64>() / count;
    let (mut tick_tick, mut tick_rest, mut rest_rest) = (0.0, 0.0, 0.0);
    for pair in ticks.iter().zip(distances) {
        let (x, y) = (*pair.0 as f64 - tick_mean, rest(pair) - rest_mean);
        tick_tick += x * x;
        tick_rest += x * y;
        rest_rest += y * y;
    }
    let slope = step + tick_rest / tick_tick;
    let deviation = ((rest_rest - tick_rest * tick_rest / tick_tick).max(0.0) / count).sqrt();
    let tolerance = (0.3 * deviation + 0.5) / ticks[ticks.len() - 1] as f64;
    let round = |digits| {
        let power = 10f64.powi(digits);
        (slope / power).round() * power
    };
    let fits = |rounded: &f64| *rounded > 0.0 && (rounded - slope).abs() <= tolerance;
    (0..=10).rev().map(round).find(fits).unwrap_or(slope)
}

#[derive(Default)]
pub(super) struct TimeDecoder {
    steps: Vec<(usize, u64)>,
}

impl TimeDecoder {
    /// Appends the next `count` times to `out`, which is left in any state after an error.
    pub(super) fn get(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        ints: &mut IntDecoder,
        out: &mut Vec<i64>,
    ) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        match reader.u8()? {
            INTS => ints.get(reader, count, out),
            GRID => self.get_grid(reader, count, ints, out),
            _ => Err(Error::Invalid("unknown mode of times")),
        }
    }

    fn get_grid(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        ints: &mut IntDecoder,
        out: &mut Vec<i64>,
    ) -> Result<(), Error> {
        let first = reader.zigzag()?;
        let unit = reader.varint()? as i64;
        let slope = f64::from_bits(reader.u64()?);
        self.get_steps(reader, count)?;
        let start = out.len();
        ints.get(reader, count, out)?;
        let out = &mut out[start..];
        let (mut row, mut tick) = (0, 0i64);
        for &(end, ticks) in self.steps.iter().chain([&(count, 0)]) {
            for x in &mut out[row..end] {
                *x = x.wrapping_add(place(tick, slope)).wrapping_mul(unit).wrapping_add(first);
                tick = tick.wrapping_add(1);
            }
            // The rows before counted on one tick more.
            tick = tick.wrapping_sub(1).wrapping_add(ticks as i64);
            row = end;
        }
        Ok(())
    }

    fn get_steps(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), Error> {
        self.steps.clear();
        let mut index = 0;
        for _ in 0..reader.count(count)? {
            index += reader.count(count)?;
            if index >= count {
                return Err(Error::Invalid("step behind the end"));
            }
            self.steps.push((index, reader.varint()?));
        }
        Ok(())
    }
}
