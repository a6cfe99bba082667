//! The heat map: latency against time, the darker the more samples. It shows what percentiles hide: two populations, a
//! stall with its tail, a rhythm.

use std::fmt::Write as _;

use super::chart::Chart;
use super::plots;
use crate::human;
use crate::result::{Metric, RunResult};
use crate::stats::series::Bins;

/// Shades, from few to many.
const SHADES: usize = 8;

/// Columns at most: more slices than this share a column.
const COLUMNS_MAX: usize = 200;

/// Bins of the series that make one row.
const BINS_PER_ROW: u16 = 2;

/// A span of time.
#[derive(Clone, Debug)]
struct Column {
    start_s: f64,
    end_s: f64,
    /// Row number and samples, ascending.
    rows: Vec<(u16, u64)>,
}

/// Samples by column and row.
#[derive(Clone, Debug)]
pub struct Heat {
    columns: Vec<Column>,
    /// Samples of the fullest cell.
    most: u64,
}

impl Heat {
    pub fn new(run: &RunResult, metric: Metric) -> Self {
        let points = &run.series.points;
        let per_column = points.len().div_ceil(COLUMNS_MAX).max(1);
        let interval_s = run.series.interval_ms as f64 / 1e3;
        let columns = points.chunks(per_column).map(|chunk| {
            let mut all = Bins::default();
            chunk.iter().for_each(|point| all.add(plots::bins(point, metric)));
            let mut rows: Vec<(u16, u64)> = Vec::new();
            for (bin, count) in &all.0 {
                let row = bin / BINS_PER_ROW;
                match rows.last_mut() {
                    Some(last) if last.0 == row => last.1 += count,
                    _ => rows.push((row, *count)),
                }
            }
            let start_s = chunk.first().map_or(0.0, |point| point.start_ms as f64 / 1e3);
            Column { start_s, end_s: start_s + chunk.len() as f64 * interval_s, rows }
        });
        let columns: Vec<_> = columns.collect();
        let most = columns.iter().flat_map(|column| column.rows.iter().map(|(_, count)| *count)).max().unwrap_or(0);
        Self { columns, most }
    }

    /// One path per shade, each of many rectangles: small files, and fast to draw.
    pub fn draw(&self, chart: &Chart) -> String {
        let mut paths = vec![String::new(); SHADES];
        for Column { start_s, end_s, rows } in &self.columns {
            let (left, right) = (chart.px(*start_s), chart.px(*end_s));
            for (row, count) in rows {
                let low = Bins::lower_ns(row * BINS_PER_ROW);
                let high = Bins::lower_ns((row + 1) * BINS_PER_ROW);
                let (bottom, top) = (chart.py(low), chart.py(high));
                // A hair wider than it is, or the background shows between the cells.
                let _ = write!(
                    paths[self.shade(*count)],
                    "M{left:.1} {top:.1}h{:.1}v{:.1}h-{:.1}z",
                    right - left + 0.3,
                    bottom - top + 0.3,
                    right - left + 0.3
                );
            }
        }
        let mut out = String::new();
        for (shade, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let _ = write!(out, "<path class=\"h{shade}\" d=\"{path}\"/>");
        }
        out
    }

    /// The shade of a number of samples, on a logarithmic scale: single samples stay visible beside a million.
    fn shade(&self, count: u64) -> usize {
        if self.most <= 1 {
            return SHADES - 1;
        }
        let share = (count.max(1) as f64).ln() / (self.most as f64).ln();
        ((share * SHADES as f64) as usize).min(SHADES - 1)
    }

    /// The shades with their ends.
    pub fn legend(&self) -> String {
        let mut shades = String::new();
        for shade in 0..SHADES {
            let _ = write!(shades, "<path class=\"h{shade}\" d=\"M{} 0h14v10h-14z\"/>", shade * 14);
        }
        let most = human::count(self.most);
        format!(
            "<span class=\"scale\">1<svg viewBox=\"0 0 112 10\" aria-hidden=\"true\">{shades}</svg>{most} samples</span>"
        )
    }

    /// How to read it.
    pub fn note(&self) -> String {
        "Samples by time and latency; the shades are logarithmic, so that single samples stay visible.".to_owned()
    }
}
