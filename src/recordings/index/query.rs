//! What getRecordings asks for, as SQL: one statement for a page, whatever is asked.
//!
//! A page is found by what narrows most: record ids, meetings, metadata, the newest. Each is a few
//! probes of an index, by the shape of the statement and not by what the planner believes of the values.

use super::time::Time;
use crate::config::MetaMatch;
use sqlx::{Postgres, QueryBuilder};

/// Recordings of one page at most; what is streamed comes in such pages.
pub const PAGE: u32 = 100;

/// So many matches of a metadata filter are looked up one by one. Where there are more, the newest
/// recordings are looked at in turn until the page is full: of a million, some 30,000 if the matches are
/// spread evenly.
const FEW: u32 = 3000;

const ORDER: &str = " ORDER BY coalesce(r.starttime, '-infinity'::timestamp) DESC, r.id DESC ";

/// Which recordings.
#[derive(Debug, Clone, Default)]
pub struct RecordingQuery {
    /// Of one of these meetings; empty: of any.
    pub meeting_ids: Vec<String>,
    /// With a record id that begins with one of these; empty: any.
    pub record_ids: Vec<String>,
    /// In one of these states; None: in any.
    pub states: Option<Vec<String>>,
    /// With this metadata. (A tenant's recordings will be a filter by `tenant-id` here.)
    pub meta: Vec<MetaFilter>,
    /// That began before this, ms since 1970; not those of which it is not known.
    pub before_ms: Option<i64>,
    /// Whether one filter of `meta` is enough.
    pub meta_match: MetaMatch,
    /// Leave out so many of the newest.
    pub offset: u32,
    /// At most so many.
    pub limit: Option<u32>,
}

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

/// Where a page ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub start: Time,
    pub id: i64,
}

type Sql = QueryBuilder<Postgres>;

/// What narrows most.
enum Driver {
    Records,
    Meetings,
    Metadata,
    Newest,
}

impl RecordingQuery {
    /// No text of Postgres holds a NUL: what asks for one finds nothing.
    pub(super) fn is_hopeless(&self) -> bool {
        let nul = |text: &str| text.contains('\0');
        let all = |list: &[String]| !list.is_empty() && list.iter().all(|text| nul(text));
        all(&self.meeting_ids)
            || all(&self.record_ids)
            || self.states.as_ref().is_some_and(|states| states.is_empty() || all(states))
            || self.meta.iter().any(|filter| nul(&filter.key) || filter.values.iter().any(|v| nul(&v.text)))
    }

    fn driver(&self) -> Driver {
        if !self.record_ids.is_empty() {
            Driver::Records
        } else if !self.meeting_ids.is_empty() {
            Driver::Meetings
        } else if !self.meta.is_empty() {
            Driver::Metadata
        } else {
            Driver::Newest
        }
    }

    /// Up to `size` recordings after `cursor` and `skip` more: these columns of `r`.
    pub(super) fn page(&self, columns: &str, cursor: Option<Cursor>, skip: u32, size: u32) -> Sql {
        // In the text, so that the planner knows how little it is; in few sizes, so that there are few
        // statements to remember.
        let most = u64::from(skip) + u64::from(size);
        let most = most.next_power_of_two().max(16);
        let mut sql = Sql::new("");
        if matches!(self.driver(), Driver::Metadata) {
            sql.push("WITH ");
            self.hits(&mut sql);
        }
        sql.push(format!("SELECT {columns} FROM (SELECT * FROM ("));
        match self.driver() {
            Driver::Records => {
                sql.push("SELECT r.* FROM ");
                self.prefixes(&mut sql);
                sql.push(" WHERE true");
                self.filters(&mut sql, true, cursor);
            }
            Driver::Meetings => {
                sql.push("SELECT r.* FROM unnest(");
                sql.push_bind(distinct(&self.meeting_ids));
                sql.push("::text[]) AS asked (meeting) CROSS JOIN LATERAL (SELECT r.* FROM recordings r WHERE r.meeting_id = asked.meeting");
                self.filters(&mut sql, false, cursor);
                sql.push(format!("{ORDER} LIMIT {most}) r"));
            }
            Driver::Newest => self.newest(&mut sql, cursor, most),
            Driver::Metadata => {
                sql.push("SELECT r.* FROM (SELECT r.* FROM hits JOIN recordings r ON r.id = hits.recording_id WHERE true");
                self.filters(&mut sql, false, cursor);
                sql.push(" UNION ALL SELECT r.* FROM (");
                self.newest(&mut sql, cursor, most);
                sql.push(format!("{ORDER} LIMIT {most}) r WHERE (SELECT many FROM found)) r"));
            }
        }
        sql.push(format!("{ORDER} LIMIT {most}) r {ORDER} OFFSET "));
        sql.push_bind(i64::from(skip));
        sql.push(" LIMIT ");
        sql.push_bind(i64::from(size));
        sql.push(format!(") r {ORDER}"));
        sql
    }

    /// The newest of each state, of which the newest are the newest of all.
    fn newest(&self, sql: &mut Sql, cursor: Option<Cursor>, most: u64) {
        sql.push("SELECT r.* FROM (");
        match &self.states {
            Some(states) => {
                sql.push("SELECT unnest(");
                sql.push_bind(distinct(states));
                sql.push("::text[])");
            }
            None => {
                sql.push(
                    "VALUES ('published'), ('unpublished'), ('processing'), ('processed'), ('deleted') ",
                );
                sql.push("UNION SELECT c.state FROM recording_counts c");
            }
        }
        sql.push(
            ") AS asked (state) CROSS JOIN LATERAL (SELECT r.* FROM recordings r WHERE r.state = asked.state",
        );
        self.other_filters(sql, false, cursor);
        sql.push(format!("{ORDER} LIMIT {most}) r"));
    }

    /// `found`: whether a metadata filter matches too much to look up each. `hits`: the recordings of
    /// the first one that does not (with MetaMatch::Any: of all).
    fn hits(&self, sql: &mut Sql) {
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

    /// OFFSET 0 keeps it as it stands: a probe for each beginning.
    fn prefixes(&self, sql: &mut Sql) {
        let (from, to) = ranges(&self.record_ids);
        sql.push("unnest(");
        sql.push_bind(from);
        sql.push("::text[], ");
        sql.push_bind(to);
        sql.push("::text[]) AS asked (low, high) CROSS JOIN LATERAL (SELECT r.* FROM recordings r ");
        sql.push("WHERE r.record_id ~>=~ asked.low AND r.record_id ~<~ asked.high OFFSET 0) r");
    }

    fn filters(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        self.in_states(sql);
        self.other_filters(sql, with_meetings, cursor);
    }

    fn in_states(&self, sql: &mut Sql) {
        if let Some(states) = &self.states {
            // No condition for an index: something else narrows more.
            sql.push(" AND coalesce(r.state, '') = ANY (");
            sql.push_bind(distinct(states));
            sql.push("::text[])");
        }
    }

    fn other_filters(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        self.places(sql, with_meetings, cursor);
        self.metadata(sql, 0);
    }

    fn places(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        if with_meetings && !self.meeting_ids.is_empty() {
            sql.push(" AND r.meeting_id = ANY (");
            sql.push_bind(distinct(&self.meeting_ids));
            sql.push("::text[])");
        }
        if let Some(cursor) = cursor {
            sql.push(" AND (coalesce(r.starttime, '-infinity'::timestamp), r.id) < (");
            sql.push_bind(cursor.start);
            sql.push(", ");
            sql.push_bind(cursor.id);
            sql.push(")");
        }
        if let Some(ms) = self.before_ms {
            sql.push(" AND r.starttime IS NOT NULL AND coalesce(r.starttime, '-infinity'::timestamp) < ");
            sql.push_bind(Time::of_unix_ms(ms));
        }
    }

    /// The filters by metadata from this one on. As scalars, not as EXISTS: each is to be a probe for a
    /// recording that has been found, and never a join with all metadata.
    fn metadata(&self, sql: &mut Sql, from: usize) {
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

    /// How many there are in all, whatever offset and limit.
    pub(super) fn total(&self) -> Sql {
        let mut sql = Sql::new("SELECT ");
        match self.driver() {
            Driver::Newest if self.before_ms.is_none() => {
                sql.push("coalesce(sum(r.change), 0)::bigint FROM recording_counts r WHERE true");
                self.filters(&mut sql, false, None);
            }
            Driver::Records => {
                sql.push("count(*) FROM ");
                self.prefixes(&mut sql);
                sql.push(" WHERE true");
                self.filters(&mut sql, true, None);
            }
            Driver::Meetings | Driver::Newest => {
                sql.push("count(*) FROM recordings r WHERE true");
                self.filters(&mut sql, true, None);
            }
            Driver::Metadata => {
                sql = Sql::new("WITH ");
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
                sql.push(") ELSE (SELECT count(*) FROM hits JOIN recordings r ON r.id = hits.recording_id WHERE true");
                self.filters(&mut sql, false, None);
                sql.push(") END");
            }
        }
        sql
    }
}

impl MetaFilter {
    /// On `m`, a row of metadata. Values stand in their index by their first 256 characters: `by_value` where
    /// they are what is looked for, and not for a recording that has been found.
    fn condition(&self, sql: &mut Sql, by_value: bool) {
        let lower = self.key.to_lowercase();
        let keys = if lower == self.key { vec![lower] } else { vec![self.key.clone(), lower] };
        sql.push("m.key = ANY (");
        sql.push_bind(keys);
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

/// What all texts that begin so are before, byte by byte.
fn after(beginning: &str) -> String {
    format!("{beginning}{}", char::MAX)
}

/// The beginnings as ranges that do not meet, so that nothing is found twice.
fn ranges(beginnings: &[String]) -> (Vec<String>, Vec<String>) {
    let mut kept: Vec<String> = Vec::new();
    for beginning in distinct(beginnings) {
        if kept.last().is_none_or(|last| !beginning.starts_with(last.as_str())) {
            kept.push(beginning);
        }
    }
    let ends = kept.iter().map(|beginning| after(beginning)).collect();
    (kept, ends)
}

fn distinct(list: &[String]) -> Vec<String> {
    let mut list: Vec<String> = list.iter().filter(|text| !text.contains('\0')).cloned().collect();
    list.sort_unstable();
    list.dedup();
    list
}
