//! The results, as one table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::collections::BTreeMap;

/// The limit of a row. Each bench uses some of the variants.
#[allow(dead_code)]
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Minimum ratio to the reference row.
    RatioAtLeast(f64),
    /// Maximum ratio between two sizes.
    RatioAtMost(f64),
    /// Minimum responses per second.
    #[allow(dead_code, reason = "only the recordings bench has such a limit")]
    PerSecondAtLeast(f64),
    /// Median below this, in milliseconds.
    BelowMs(f64),
    /// Memory below this, in MB.
    BelowMb(f64),
}

/// One row. `None`: not measured.
#[derive(Default, Serialize)]
pub struct Row {
    /// Name of the row.
    pub case: String,
    /// Responses per second.
    pub per_second: Option<f64>,
    /// Median latency, ms.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the latency, ms.
    pub p99_ms: Option<f64>,
    /// Maximum latency, ms, of rows with too few samples for a percentile.
    pub max_ms: Option<f64>,
    /// CPU time per request by process, µs: `front` is sl or nginx; then redis, sim, wrk.
    pub cpu_us: BTreeMap<&'static str, f64>,
    /// Resident memory, MB.
    pub memory_mb: Option<f64>,
    /// Responses per second relative to the reference row, or cost relative to the smaller size.
    pub ratio: Option<f64>,
    /// CPU time per request of all processes: that of the reference row over that of this row.
    pub cpu_ratio: Option<f64>,
    /// The limit.
    pub limit: Option<Limit>,
    /// Whether the limit is met.
    pub reached: Option<bool>,
}

impl Row {
    /// Sets the limit, and whether the row meets it.
    pub fn with_limit(mut self, limit: Option<Limit>) -> Row {
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
        let cpu = |process| number(self.cpu_us.get(process).copied(), 1);
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

/// Formats the rows as a table.
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
