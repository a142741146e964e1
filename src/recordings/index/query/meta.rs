//! Metadata filters: how recordings are found by them, and checked.

use super::{Cursor, RecordingQuery, Sql, prefix_end};
use crate::config::MetaMatch;

/// Up to this number, the matches of a metadata filter are looked up one by one. If there are more, the newest
/// recordings are checked in turn until the page is full: of a million, some 30,000 if the matches are spread
/// evenly.
const MAX_LOOKUPS: u32 = 3000;

/// A key and its accepted values.
#[derive(Debug, Clone)]
pub struct MetaFilter {
    /// The client's spelling. Matches its lower case too: BBB stores keys in lower case.
    pub key: String,
    /// One of these must match.
    pub values: Vec<MetaValue>,
}

/// A value, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaValue {
    /// The text.
    pub text: String,
    /// Whether other text may precede it.
    pub open_start: bool,
    /// Whether other text may follow it.
    pub open_end: bool,
}

impl MetaValue {
    /// `text`, `%text`, `text%` or `%text%`.
    pub fn parse(text: &str) -> MetaValue {
        let (open_start, rest) = match text.strip_prefix('%') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (open_end, text) = match rest.strip_suffix('%') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        MetaValue { text: text.to_owned(), open_start, open_end }
    }

    /// For LIKE.
    fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.text.len() + 2);
        pattern.extend(self.open_start.then_some('%'));
        for c in self.text.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.extend(self.open_end.then_some('%'));
        pattern
    }
}

impl RecordingQuery {
    /// CTEs `found` (its column `many`: the filters match too many recordings to look up each) and `hits`: the
    /// recordings of the first filter that does not match too many (with MetaMatch::Any: of all filters).
    pub(super) fn push_metadata_hits(&self, sql: &mut Sql) {
        if let [filter] = &self.meta[..]
            && filter.keys().len() == 1
        {
            sql.push("hits AS MATERIALIZED (SELECT m.recording_id FROM metadata m WHERE ");
            filter.push_condition(sql, true);
            sql.push(format!(
                " LIMIT {}), found AS MATERIALIZED (SELECT count(*) > {MAX_LOOKUPS} AS many FROM hits)",
                MAX_LOOKUPS + 1
            ));
            return;
        }
        for (n, filter) in self.meta.iter().enumerate() {
            sql.push(format!("hits_{n} AS MATERIALIZED (SELECT m.recording_id FROM metadata m WHERE "));
            filter.push_condition(sql, true);
            sql.push(format!(
                " LIMIT {}), count_{n} AS MATERIALIZED (SELECT count(*) > {MAX_LOOKUPS} AS many FROM hits_{n}), ",
                MAX_LOOKUPS + 1
            ));
        }
        let all = 0..self.meta.len();
        let join = |with: &str, range: std::ops::Range<usize>| {
            range.map(|n| format!("(SELECT many FROM count_{n})")).collect::<Vec<_>>().join(with)
        };
        match self.meta_match {
            MetaMatch::All => {
                sql.push(format!(
                    "found AS MATERIALIZED (SELECT {} AS many), hits AS MATERIALIZED (",
                    join(" AND ", all.clone())
                ));
                for n in all {
                    if n > 0 {
                        sql.push(" UNION ");
                    }
                    sql.push(format!(
                        "SELECT recording_id FROM hits_{n} WHERE NOT (SELECT many FROM count_{n})"
                    ));
                    if n > 0 {
                        sql.push(format!(" AND {}", join(" AND ", 0..n)));
                    }
                }
            }
            MetaMatch::Any => {
                sql.push(format!(
                    "found AS MATERIALIZED (SELECT {} AS many), hits AS MATERIALIZED (",
                    join(" OR ", all.clone())
                ));
                for n in all {
                    if n > 0 {
                        sql.push(" UNION ");
                    }
                    sql.push(format!("SELECT recording_id FROM hits_{n} WHERE NOT (SELECT many FROM found)"));
                }
            }
        }
        // Two spellings of a key may both match one recording.
        if self.meta.len() == 1 {
            sql.push(" GROUP BY recording_id");
        }
        sql.push(")");
    }

    /// The remaining conditions on the recordings in `hits`.
    pub(super) fn push_filters_of_hits(&self, sql: &mut Sql, cursor: Option<Cursor>) {
        self.push_states(sql);
        self.push_meetings_and_start(sql, false, cursor);
        // With one filter, or with MetaMatch::Any, every hit matches.
        if self.meta.len() > 1 && self.meta_match == MetaMatch::All {
            self.push_metadata_filters(sql, 0);
        }
    }

    /// The metadata filters with an index of at least `from`. Scalar subqueries, not EXISTS: each must be a probe
    /// for a recording already found, and never a join with the whole of metadata.
    pub(super) fn push_metadata_filters(&self, sql: &mut Sql, from: usize) {
        let or = self.meta_match == MetaMatch::Any;
        let filters = self.meta.get(from..).unwrap_or_default();
        for (n, filter) in filters.iter().enumerate() {
            sql.push(match (n, or) {
                (0, true) => " AND (",
                (_, true) => " OR ",
                (_, false) => " AND ",
            });
            sql.push("(SELECT true FROM metadata m WHERE m.recording_id = r.id AND ");
            filter.push_condition(sql, false);
            sql.push(" LIMIT 1)");
        }
        if or && !filters.is_empty() {
            sql.push(")");
        }
    }

    /// Counts the matches, regardless of offset and limit.
    pub(super) fn total_by_metadata_sql(&self) -> Sql {
        let mut sql = Sql::new("WITH ");
        self.push_metadata_hits(&mut sql);
        sql.push(" SELECT CASE WHEN (SELECT many FROM found) THEN (SELECT count(*) FROM (");
        let driving_filters = match self.meta_match {
            MetaMatch::All => 1,
            MetaMatch::Any => self.meta.len(),
        };
        for (n, filter) in self.meta.iter().take(driving_filters).enumerate() {
            sql.push(if n > 0 { " UNION " } else { "" });
            sql.push("SELECT m.recording_id FROM metadata m WHERE ");
            filter.push_condition(&mut sql, true);
        }
        sql.push(if driving_filters == 1 { " GROUP BY m.recording_id" } else { "" });
        sql.push(") AS all_hits JOIN recordings r ON r.id = all_hits.recording_id WHERE true");
        self.push_states(&mut sql);
        self.push_meetings_and_start(&mut sql, false, None);
        self.push_metadata_filters(&mut sql, driving_filters);
        sql.push(
            ") ELSE (SELECT count(*) FROM hits JOIN recordings r ON r.id = hits.recording_id WHERE true",
        );
        self.push_filters_of_hits(&mut sql, None);
        sql.push(") END");
        sql
    }
}

impl MetaFilter {
    /// Whether no recording can match: Postgres stores no text with a NUL.
    pub(super) fn matches_nothing(&self) -> bool {
        self.key.contains('\0') || self.values.iter().all(|value| value.text.contains('\0'))
    }

    fn keys(&self) -> Vec<String> {
        let lower = self.key.to_lowercase();
        if lower == self.key { vec![lower] } else { vec![self.key.clone(), lower] }
    }

    /// The condition on `m`, a row of metadata. `by_value`: the value is what finds the row, so the condition must
    /// use the index on values, which holds their first 256 characters; otherwise the recording is found already.
    fn push_condition(&self, sql: &mut Sql, by_value: bool) {
        sql.push("m.key = ANY (");
        sql.push_bind(self.keys());
        sql.push("::text[])");
        let exact: Option<Vec<&MetaValue>> =
            self.values.iter().map(|v| (!v.open_start && !v.open_end).then_some(v)).collect();
        if let Some(exact) = exact {
            let texts: Vec<String> = exact.iter().map(|value| value.text.clone()).collect();
            if by_value {
                sql.push(" AND left(m.value, 256) = ANY (");
                sql.push_bind(
                    texts.iter().map(|text| text.chars().take(256).collect()).collect::<Vec<String>>(),
                );
                sql.push("::text[])");
            }
            sql.push(" AND m.value = ANY (");
            sql.push_bind(texts);
            sql.push("::text[])");
            return;
        }
        if let ([MetaValue { text, open_start: false, .. }], true) = (&self.values[..], by_value) {
            let prefix: String = text.chars().take(256).collect();
            sql.push(" AND left(m.value, 256) ~>=~ ");
            sql.push_bind(prefix.clone());
            sql.push(" AND left(m.value, 256) ~<~ ");
            sql.push_bind(prefix_end(&prefix));
        }
        sql.push(" AND m.value LIKE ANY (");
        sql.push_bind(self.values.iter().map(MetaValue::pattern).collect::<Vec<String>>());
        sql.push("::text[])");
    }
}
