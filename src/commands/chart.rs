//! Series as a chart of Braille dots: two by four in each character.

use crate::commands::{
    client::Series,
    table::{letter, number},
};

const WIDTH: usize = 72;
const HEIGHT: usize = 12;

/// A chart of all series over one another, with the range of values on the left and of times below.
pub(super) fn render(series: &[Series], time_label: impl Fn(f64) -> String) -> String {
    let points = || series.iter().flat_map(|series| &series.points).filter(|(_, value)| value.is_finite());
    let Some(&(time, value)) = points().next() else { return String::new() };
    let start = ((time, time), (value, value));
    let grow = |(low, high): (f64, f64), v: f64| (low.min(v), high.max(v));
    let (times, values) = points().fold(start, |(times, values), &(t, v)| (grow(times, t), grow(values, v)));
    let mut dots = vec![[0_u8; WIDTH]; HEIGHT];
    for series in series {
        for pair in series.points.windows(2) {
            line(&mut dots, place(pair[0], times, values), place(pair[1], times, values));
        }
    }
    frame(&dots, [times.0, times.1].map(time_label), values, series)
}

/// Where a point lies in dots, from the lower left.
fn place((time, value): (f64, f64), times: (f64, f64), values: (f64, f64)) -> (f64, f64) {
    let scale = |v: f64, (low, high): (f64, f64), dots: usize| match high - low {
        0.0 => 0.0,
        range => (v - low) / range * (dots - 1) as f64,
    };
    (scale(time, times, WIDTH * 2), scale(value, values, HEIGHT * 4))
}

/// Sets the dots between two points. A point without a value has no line.
fn line(dots: &mut [[u8; WIDTH]], from: (f64, f64), to: (f64, f64)) {
    if !(from.1.is_finite() && to.1.is_finite()) {
        return;
    }
    let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0);
    for step in 0..=steps as usize {
        let part = step as f64 / steps;
        let x = (from.0 + (to.0 - from.0) * part).round() as usize;
        let y = (from.1 + (to.1 - from.1) * part).round() as usize;
        dots[HEIGHT - 1 - y / 4][x / 2] |= bit(x % 2, y % 4);
    }
}

/// The bit of a dot in a Braille character: `x` from the left, `y` from below.
fn bit(x: usize, y: usize) -> u8 {
    const BITS: [[u8; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];
    BITS[x][y]
}

fn frame(dots: &[[u8; WIDTH]], [from, to]: [String; 2], values: (f64, f64), series: &[Series]) -> String {
    let [low, high] = [values.0, values.1].map(number);
    let margin = low.len().max(high.len());
    let mut out = String::new();
    for (index, row) in dots.iter().enumerate() {
        let label = match index {
            0 => high.as_str(),
            _ if index == dots.len() - 1 => low.as_str(),
            _ => "",
        };
        let row: String = row.iter().map(|&bits| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ')).collect();
        out += &format!("{label:>margin$} │{row}\n");
    }
    out += &format!("{:margin$} └{}\n", "", "─".repeat(WIDTH));
    out += &format!("{:margin$}  {from}{to:>width$}\n", "", width = WIDTH - from.len());
    let names: Vec<_> = series.iter().enumerate().map(|(i, s)| format!("{} {}", letter(i), s.name)).collect();
    out + &format!("{:margin$}  {}\n", "", names.join("   "))
}
