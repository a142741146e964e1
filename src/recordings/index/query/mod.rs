//! getRecordings as SQL: one statement for each page, whatever the filters.
//!
//! The most selective filter drives the statement: record ids, meetings, metadata (`meta`), or else the newest
//! recordings. Each way is a few index probes because of the shape of the statement, and not because of the
//! planner's estimates.

mod meta;

pub use meta::{MetaFilter, MetaValue};

use super::timestamp::PgTimestamp;
use crate::config::MetaMatch;
use sqlx::{Postgres, QueryBuilder};

/// Recordings in one page. Longer results are streamed in such pages.
pub const MAX_PAGE_SIZE: u32 = 100;

/// A recording without a start comes first, as in Scalelite.
const ORDER: &str = " ORDER BY coalesce(r.starttime, 'infinity'::timestamp) DESC, r.id DESC ";

/// Values of one column that a query accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ValueFilter {
    /// Every value.
    #[default]
    Any,
    /// One of these. An empty list matches nothing.
    OneOf(Vec<String>),
}

impl ValueFilter {
    /// [`ValueFilter::Any`] if the list is empty, as where no filter was given.
    pub fn any_if_empty(values: Vec<String>) -> ValueFilter {
        if values.is_empty() { ValueFilter::Any } else { ValueFilter::OneOf(values) }
    }

    /// Whether no value can match: Postgres stores no text with a NUL.
    fn matches_nothing(&self) -> bool {
        match self {
            ValueFilter::Any => false,
            ValueFilter::OneOf(values) => values.iter().all(|value| value.contains('\0')),
        }
    }

    /// The values to bind: sorted, distinct, without those that Postgres refuses. None for [`ValueFilter::Any`].
    fn values(&self) -> Option<Vec<String>> {
        match self {
            ValueFilter::Any => None,
            ValueFilter::OneOf(values) => {
                let mut values: Vec<String> =
                    values.iter().filter(|value| !value.contains('\0')).cloned().collect();
                values.sort_unstable();
                values.dedup();
                Some(values)
            }
        }
    }
}

/// Selects recordings.
#[derive(Debug, Clone, Default)]
pub struct RecordingQuery {
    /// The clients' meetingIDs.
    pub meeting_ids: ValueFilter,
    /// Prefixes of record ids.
    pub record_ids: ValueFilter,
    /// `published`, `unpublished`, …
    pub states: ValueFilter,
    /// Metadata. (A tenant's recordings will be a filter by `tenant-id` here.)
    pub meta: Vec<MetaFilter>,
    /// Only recordings that began before this, ms since 1970. Leaves out those without a start.
    pub before_ms: Option<i64>,
    /// Whether all filters of `meta` must match, or one of them.
    pub meta_match: MetaMatch,
    /// Number of recordings to skip, from the newest.
    pub offset: u32,
    /// Maximum number of recordings.
    pub limit: Option<u32>,
}

/// The last recording of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub start: PgTimestamp,
    pub id: i64,
}

type Sql = QueryBuilder<Postgres>;

/// The filter that drives the statement.
enum AccessPath {
    RecordIds,
    Meetings,
    Metadata,
    Newest,
}

impl RecordingQuery {
    /// Whether no recording can match, which needs no query.
    pub(super) fn matches_nothing(&self) -> bool {
        [&self.meeting_ids, &self.record_ids, &self.states].into_iter().any(ValueFilter::matches_nothing)
            || match self.meta_match {
                MetaMatch::All => self.meta.iter().any(MetaFilter::matches_nothing),
                MetaMatch::Any => !self.meta.is_empty() && self.meta.iter().all(MetaFilter::matches_nothing),
            }
    }

    /// Drops metadata filters on texts with a NUL: they match nothing, and Postgres refuses them.
    pub(super) fn without_nul_filters(mut self) -> RecordingQuery {
        for filter in &mut self.meta {
            filter.values.retain(|value| !value.text.contains('\0'));
        }
        if self.meta_match == MetaMatch::Any && !self.matches_nothing() {
            self.meta.retain(|filter| !filter.matches_nothing());
        }
        self
    }

    fn access_path(&self) -> AccessPath {
        if self.record_ids != ValueFilter::Any {
            AccessPath::RecordIds
        } else if self.meeting_ids != ValueFilter::Any {
            AccessPath::Meetings
        } else if !self.meta.is_empty() {
            AccessPath::Metadata
        } else {
            AccessPath::Newest
        }
    }

    /// Selects up to `size` recordings after `cursor`, skipping `skip` more: these columns of `r`, and `many`.
    ///
    /// `many` says that the metadata filters match too many recordings to look up each. Then there is one row,
    /// whose columns of `r` are all NULL, and the page must be queried with `scan_newest`, which checks the
    /// newest recordings in turn.
    pub(super) fn page_sql(
        &self,
        columns: &str,
        cursor: Option<Cursor>,
        skip: u32,
        size: u32,
        scan_newest: bool,
    ) -> Sql {
        // Part of the text, so that the planner knows how few rows are needed; rounded up, so that few different
        // statements are prepared.
        let row_limit = u64::from(skip) + u64::from(size);
        let row_limit = row_limit.next_power_of_two().max(16);
        let mut sql = Sql::new("");
        let path = if scan_newest { AccessPath::Newest } else { self.access_path() };
        let by_metadata = matches!(path, AccessPath::Metadata);
        if by_metadata {
            sql.push("WITH ");
            self.push_metadata_hits(&mut sql);
            sql.push(format!(" SELECT {columns}, found.many FROM found LEFT JOIN (SELECT * FROM ("));
        } else {
            sql.push(format!("SELECT {columns}, false AS many FROM (SELECT * FROM ("));
        }
        match path {
            AccessPath::RecordIds => {
                sql.push("SELECT r.* FROM ");
                self.push_prefix_probes(&mut sql);
                sql.push(" WHERE true");
                self.push_filters(&mut sql, true, cursor);
            }
            AccessPath::Meetings => {
                sql.push("SELECT r.* FROM unnest(");
                sql.push_bind(self.meeting_ids.values().unwrap_or_default());
                sql.push("::text[]) AS asked (meeting) CROSS JOIN LATERAL (SELECT r.* FROM recordings r WHERE r.meeting_id = asked.meeting");
                self.push_filters(&mut sql, false, cursor);
                sql.push(format!("{ORDER} LIMIT {row_limit}) r"));
            }
            AccessPath::Newest => self.push_newest(&mut sql, cursor, row_limit),
            AccessPath::Metadata => {
                sql.push("SELECT r.* FROM hits JOIN recordings r ON r.id = hits.recording_id ");
                sql.push("WHERE NOT (SELECT many FROM found)");
                self.push_filters_of_hits(&mut sql, cursor);
            }
        }
        sql.push(format!("{ORDER} LIMIT {row_limit}) r {ORDER} OFFSET "));
        sql.push_bind(i64::from(skip));
        sql.push(" LIMIT ");
        sql.push_bind(i64::from(size));
        sql.push(format!(") r {}{ORDER}", if by_metadata { "ON true" } else { "" }));
        sql
    }

    /// The newest recordings of each state, which the index on state finds; the newest of those are the newest
    /// of all.
    fn push_newest(&self, sql: &mut Sql, cursor: Option<Cursor>, row_limit: u64) {
        let with_stateless = self.states == ValueFilter::Any;
        sql.push(if with_stateless { "SELECT r.* FROM (SELECT r.* FROM (" } else { "SELECT r.* FROM (" });
        match self.states.values() {
            Some(states) => {
                sql.push("SELECT unnest(");
                sql.push_bind(states);
                sql.push("::text[])");
            }
            None => {
                sql.push(
                    "VALUES ('published'), ('unpublished'), ('processing'), ('processed'), ('deleted') ",
                );
                sql.push("UNION SELECT c.state FROM recording_counts c WHERE c.state IS NOT NULL");
            }
        }
        sql.push(
            ") AS asked (state) CROSS JOIN LATERAL (SELECT r.* FROM recordings r WHERE r.state = asked.state",
        );
        self.push_other_filters(sql, false, cursor);
        sql.push(format!("{ORDER} LIMIT {row_limit}) r"));
        if with_stateless {
            sql.push(" UNION ALL (SELECT r.* FROM recordings r WHERE r.state IS NULL");
            self.push_other_filters(sql, false, cursor);
            sql.push(format!("{ORDER} LIMIT {row_limit})) r"));
        }
    }

    /// One index probe for each prefix. OFFSET 0 keeps the planner from rewriting it.
    fn push_prefix_probes(&self, sql: &mut Sql) {
        let (from, to) = prefix_ranges(self.record_ids.values().unwrap_or_default());
        sql.push("unnest(");
        sql.push_bind(from);
        sql.push("::text[], ");
        sql.push_bind(to);
        sql.push("::text[]) AS asked (low, high) CROSS JOIN LATERAL (SELECT r.* FROM recordings r ");
        sql.push("WHERE r.record_id ~>=~ asked.low AND r.record_id ~<~ asked.high OFFSET 0) r");
    }

    fn push_filters(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        self.push_states(sql);
        self.push_other_filters(sql, with_meetings, cursor);
    }

    fn push_states(&self, sql: &mut Sql) {
        if let Some(states) = self.states.values() {
            // coalesce() keeps the planner from using the index on state: another filter is more selective.
            sql.push(" AND coalesce(r.state, '') = ANY (");
            sql.push_bind(states);
            sql.push("::text[])");
        }
    }

    fn push_other_filters(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        self.push_meetings_and_start(sql, with_meetings, cursor);
        self.push_metadata_filters(sql, 0);
    }

    fn push_meetings_and_start(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        if with_meetings && let Some(meetings) = self.meeting_ids.values() {
            sql.push(" AND r.meeting_id = ANY (");
            sql.push_bind(meetings);
            sql.push("::text[])");
        }
        if let Some(cursor) = cursor {
            sql.push(" AND (coalesce(r.starttime, 'infinity'::timestamp), r.id) < (");
            sql.push_bind(cursor.start);
            sql.push(", ");
            sql.push_bind(cursor.id);
            sql.push(")");
        }
        if let Some(ms) = self.before_ms {
            sql.push(" AND coalesce(r.starttime, 'infinity'::timestamp) < ");
            sql.push_bind(PgTimestamp::from_unix_ms(ms));
        }
    }

    /// Counts the matches, regardless of offset and limit.
    pub(super) fn total_sql(&self) -> Sql {
        let mut sql = Sql::new("SELECT ");
        match self.access_path() {
            AccessPath::Newest if self.before_ms.is_none() => {
                sql.push("coalesce(sum(r.change), 0)::bigint FROM recording_counts r WHERE true");
                self.push_filters(&mut sql, false, None);
            }
            AccessPath::RecordIds => {
                sql.push("count(*) FROM ");
                self.push_prefix_probes(&mut sql);
                sql.push(" WHERE true");
                self.push_filters(&mut sql, true, None);
            }
            AccessPath::Meetings | AccessPath::Newest => {
                sql.push("count(*) FROM recordings r WHERE true");
                self.push_filters(&mut sql, true, None);
            }
            AccessPath::Metadata => return self.total_by_metadata_sql(),
        }
        sql
    }
}

/// An upper bound, in byte order, of all texts with this prefix.
fn prefix_end(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

/// Sorted prefixes as disjoint ranges, so that no record is found twice.
fn prefix_ranges(prefixes: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut starts: Vec<String> = Vec::new();
    for prefix in prefixes {
        if starts.last().is_none_or(|last| !prefix.starts_with(last.as_str())) {
            starts.push(prefix);
        }
    }
    let ends = starts.iter().map(|prefix| prefix_end(prefix)).collect();
    (starts, ends)
}
