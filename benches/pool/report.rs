//! What was measured, as one table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::collections::BTreeMap;

/// A limit to reach. Each bench has some of them.
#[allow(dead_code)]
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Ratio to the first row, no less than this.
    RatioAtLeast(f64),
    /// Ratio between two sizes, no more than this.
    RatioAtMost(f64),
    /// Answers per second, no less than this.
    #[allow(dead_code, reason = "only the bench of recordings has such a limit")]
    PerSecondAtLeast(f64),
    /// Milliseconds, below this.
    BelowMs(f64),
    /// MB, below this.
    BelowMb(f64),
}

/// One row. What a row does not have is None.
#[derive(Default, Serialize)]
pub struct Row {
    /// What was asked of what.
    pub case: String,
    /// Answers per second.
    pub per_second: Option<f64>,
    /// Median, ms.
    pub p50_ms: Option<f64>,
    /// 99th percentile, ms.
    pub p99_ms: Option<f64>,
    /// The longest, ms: where there are too few for a percentile.
    pub max_ms: Option<f64>,
    /// CPU per request, µs, by who used it: `front` is sl or nginx, then redis, sim, wrk.
    pub cpu_us: BTreeMap<&'static str, f64>,
    /// Resident memory, MB.
    pub memory_mb: Option<f64>,
    /// Answers per second beside the first row, or cost beside the smaller size.
    pub ratio: Option<f64>,
    /// CPU per request of all processes together: the first row's over this row's.
    pub cpu_ratio: Option<f64>,
    /// The limit.
    pub limit: Option<Limit>,
    /// Whether it was reached.
    pub reached: Option<bool>,
}

impl Row {
    /// Holds the row against its limit.
    pub fn judged(mut self, limit: Option<Limit>) -> Row {
        self.limit = limit;
        self.reached = match limit {
            Some(Limit::RatioAtLeast(least)) => self.ratio.map(|ratio| ratio >= least),
            Some(Limit::RatioAtMost(most)) => self.ratio.map(|ratio| ratio <= most),
            Some(Limit::PerSecondAtLeast(least)) => self.per_second.map(|rate| rate >= least),
            Some(Limit::BelowMs(most)) => self.p50_ms.map(|ms| ms < most),
            Some(Limit::BelowMb(most)) => self.memory_mb.map(|mb| mb < most),
            None => None,
        };
        self
    }

    fn cells(&self) -> Vec<String> {
        let number =
            |value: Option<f64>, digits: usize| value.map_or(String::new(), |v| format!("{v:.digits$}"));
        let cpu = |who| number(self.cpu_us.get(who).copied(), 1);
        let slowest = match (self.p99_ms, self.max_ms) {
            (None, Some(max)) => format!("max {max:.1}"),
            (p99, _) => number(p99, 2),
        };
        let limit = match self.limit {
            Some(Limit::RatioAtLeast(least)) => format!("ratio >= {least}"),
            Some(Limit::RatioAtMost(most)) => format!("ratio <= {most}"),
            Some(Limit::PerSecondAtLeast(least)) => format!(">= {least}/s"),
            Some(Limit::BelowMs(most)) => format!("p50 < {most} ms"),
            Some(Limit::BelowMb(most)) => format!("< {most} MB"),
            None => String::new(),
        };
        let verdict = match self.reached {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        vec![
            self.case.clone(),
            number(self.per_second, 0),
            number(self.p50_ms, 2),
            slowest,
            cpu("front"),
            cpu("redis"),
            cpu("sim"),
            number(self.memory_mb, 1),
            number(self.ratio, 2),
            number(self.cpu_ratio, 2),
            limit,
            verdict.to_owned(),
        ]
    }
}

/// The table.
pub fn table(rows: &[Row]) -> String {
    const HEADINGS: [&str; 12] = [
        "case",
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU us",
        "redis us",
        "sim us",
        "RSS MB",
        "ratio",
        "CPU ratio",
        "limit",
        "",
    ];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).force_no_tty().set_header(HEADINGS);
    for row in rows {
        table.add_row(row.cells());
    }
    for column in 1..10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}
