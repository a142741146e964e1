//! Metadata: how recordings are found by it, and filtered.

use super::{Cursor, RecordingQuery, Sql, after};
use crate::config::MetaMatch;

/// So many matches of a metadata filter are looked up one by one. Where there are more, the newest
/// recordings are looked at in turn until the page is full: of a million, some 30,000 if the matches are
/// spread evenly.
const FEW: u32 = 3000;

/// One key, and what its value may be.
#[derive(Debug, Clone)]
pub struct MetaFilter {
    /// As asked for; matches the same in lower case too, as BBB keeps keys.
    pub key: String,
    /// One of these.
    pub values: Vec<MetaValue>,
}

/// A value, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaValue {
    /// The text.
    pub text: String,
    /// Anything may stand before it.
    pub open_start: bool,
    /// Anything may stand after it.
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
    /// `found`: whether a metadata filter matches too much to look up each. `hits`: the recordings of
    /// the first one that does not (with MetaMatch::Any: of all).
    pub(super) fn hits(&self, sql: &mut Sql) {
        if let [filter] = &self.meta[..]
            && filter.keys().len() == 1
        {
            sql.push("hits AS MATERIALIZED (SELECT m.recording_id FROM metadata m WHERE ");
            filter.condition(sql, true);
            sql.push(format!(
                " LIMIT {}), found AS MATERIALIZED (SELECT count(*) > {FEW} AS many FROM hits)",
                FEW + 1
            ));
            return;
        }
        for (n, filter) in self.meta.iter().enumerate() {
            sql.push(format!("hits_{n} AS MATERIALIZED (SELECT m.recording_id FROM metadata m WHERE "));
            filter.condition(sql, true);
            sql.push(format!(
                " LIMIT {}), count_{n} AS MATERIALIZED (SELECT count(*) > {FEW} AS many FROM hits_{n}), ",
                FEW + 1
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

    /// What else is asked of the recordings among `hits`.
    pub(super) fn filters_of_hits(&self, sql: &mut Sql, cursor: Option<Cursor>) {
        self.in_states(sql);
        self.places(sql, false, cursor);
        // Of one filter, or one of several, they are all there is.
        if self.meta.len() > 1 && self.meta_match == MetaMatch::All {
            self.metadata(sql, 0);
        }
    }

    /// The filters by metadata from this one on. As scalars, not as EXISTS: each is to be a probe for a
    /// recording that has been found, and never a join with all metadata.
    pub(super) fn metadata(&self, sql: &mut Sql, from: usize) {
        let or = self.meta_match == MetaMatch::Any;
        let filters = self.meta.get(from..).unwrap_or_default();
        for (n, filter) in filters.iter().enumerate() {
            sql.push(match (n, or) {
                (0, true) => " AND (",
                (_, true) => " OR ",
                (_, false) => " AND ",
            });
            sql.push("(SELECT true FROM metadata m WHERE m.recording_id = r.id AND ");
            filter.condition(sql, false);
            sql.push(" LIMIT 1)");
        }
        if or && !filters.is_empty() {
            sql.push(")");
        }
    }

    /// How many, whatever offset and limit.
    pub(super) fn total_by_metadata(&self) -> Sql {
        let mut sql = Sql::new("WITH ");
        self.hits(&mut sql);
        sql.push(" SELECT CASE WHEN (SELECT many FROM found) THEN (SELECT count(*) FROM (");
        let enough = match self.meta_match {
            MetaMatch::All => 1,
            MetaMatch::Any => self.meta.len(),
        };
        for (n, filter) in self.meta.iter().take(enough).enumerate() {
            sql.push(if n > 0 { " UNION " } else { "" });
            sql.push("SELECT m.recording_id FROM metadata m WHERE ");
            filter.condition(&mut sql, true);
        }
        sql.push(if enough == 1 { " GROUP BY m.recording_id" } else { "" });
        sql.push(") AS all_hits JOIN recordings r ON r.id = all_hits.recording_id WHERE true");
        self.in_states(&mut sql);
        self.places(&mut sql, false, None);
        self.metadata(&mut sql, enough);
        sql.push(
            ") ELSE (SELECT count(*) FROM hits JOIN recordings r ON r.id = hits.recording_id WHERE true",
        );
        self.filters_of_hits(&mut sql, None);
        sql.push(") END");
        sql
    }
}

impl MetaFilter {
    /// Postgres stores no text with a NUL.
    pub(super) fn matches_nothing(&self) -> bool {
        self.key.contains('\0') || self.values.iter().all(|value| value.text.contains('\0'))
    }

    fn keys(&self) -> Vec<String> {
        let lower = self.key.to_lowercase();
        if lower == self.key { vec![lower] } else { vec![self.key.clone(), lower] }
    }

    /// On `m`, a row of metadata. Values stand in their index by their first 256 characters: `by_value` where
    /// they are what is looked for, and not for a recording that has been found.
    fn condition(&self, sql: &mut Sql, by_value: bool) {
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
            let beginning: String = text.chars().take(256).collect();
            sql.push(" AND left(m.value, 256) ~>=~ ");
            sql.push_bind(beginning.clone());
            sql.push(" AND left(m.value, 256) ~<~ ");
            sql.push_bind(after(&beginning));
        }
        sql.push(" AND m.value LIKE ANY (");
        sql.push_bind(self.values.iter().map(MetaValue::pattern).collect::<Vec<String>>());
        sql.push("::text[])");
    }
}
