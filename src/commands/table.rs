//! Series as a table: a row per time, a column per series.

use std::{collections::BTreeMap, fmt::Write};

use crate::commands::client::Series;

/// Columns that fit a terminal side by side.
const COLUMNS_MAX: usize = 8;

/// The table, with as many blocks side by side as there are groups of [`COLUMNS_MAX`] series. Columns are lettered, and
/// a legend names them.
pub(super) fn render(series: &[Series]) -> String {
    if series.is_empty() {
        return "(no data)\n".to_owned();
    }
    let blocks: Vec<_> =
        series.chunks(COLUMNS_MAX).enumerate().map(|(i, chunk)| block(chunk, i * COLUMNS_MAX)).collect();
    blocks.join("\n")
}

fn block(series: &[Series], first: usize) -> String {
    let mut rows: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (column, series) in series.iter().enumerate() {
        for (time, value) in &series.points {
            let row = rows.entry((time * 1000.0).round() as i64).or_default();
            row.resize(column, String::new());
            row.push(number(*value));
        }
    }
    let mut lines = vec![vec!["time".to_owned()]];
    lines[0].extend((0..series.len()).map(|column| letter(first + column)));
    for (millis, mut values) in rows {
        values.resize(series.len(), String::new());
        lines.push(std::iter::once(time(millis)).chain(values).collect());
    }
    let mut out = String::new();
    for (column, series) in series.iter().enumerate() {
        writeln!(out, "{:>4} = {}", letter(first + column), series.name).expect("a String takes all text");
    }
    out + &align(&lines)
}

/// Lines of cells, each column as wide as its widest cell, right-aligned but for the first; a rule below the head.
pub(super) fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
        if index == 0 {
            out += &"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1));
            out.push('\n');
        }
    }
    out
}

/// `A`, …, `Z`, `AA`, …
pub(super) fn letter(mut index: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push((b'A' + (index % 26) as u8) as char);
        match index / 26 {
            0 => return letters.iter().rev().collect(),
            more => index = more - 1,
        }
    }
}

/// A time in UTC, without what is zero in it.
pub(super) fn time(millis: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(millis) else { return format!("{millis} ms") };
    let format = if millis % 1000 == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.3f" };
    time.strftime(format).to_string()
}

/// Six significant digits: enough to read, short enough for a table.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-4..15).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let text = format!("{value:.*}", (5 - magnitude).max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
