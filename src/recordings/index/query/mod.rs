//! What getRecordings asks for, as SQL: one statement for a page, whatever is asked.
//!
//! `meta` is what has to do with metadata. A page is found by what narrows most: record ids, meetings, metadata, the newest. Each is a few
//! probes of an index, by the shape of the statement and not by what the planner believes of the values.

mod meta;

pub use meta::{MetaFilter, MetaValue};

use super::timestamp::Time;
use crate::config::MetaMatch;
use sqlx::{Postgres, QueryBuilder};

/// Recordings of one page at most; what is streamed comes in such pages.
pub const PAGE: u32 = 100;

const ORDER: &str = " ORDER BY coalesce(r.starttime, '-infinity'::timestamp) DESC, r.id DESC ";

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

    /// Postgres stores no text with a NUL, so such values match nothing either.
    fn matches_nothing(&self) -> bool {
        match self {
            ValueFilter::Any => false,
            ValueFilter::OneOf(values) => values.iter().all(|value| value.contains('\0')),
        }
    }

    /// The values to bind: sorted, each once, without those that Postgres refuses. None: no condition.
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

/// Which recordings.
#[derive(Debug, Clone, Default)]
pub struct RecordingQuery {
    /// Client's meetingIDs.
    pub meeting_ids: ValueFilter,
    /// Prefixes of record ids.
    pub record_ids: ValueFilter,
    /// `published`, `unpublished`, …
    pub states: ValueFilter,
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

    fn driver(&self) -> Driver {
        if self.record_ids != ValueFilter::Any {
            Driver::Records
        } else if self.meeting_ids != ValueFilter::Any {
            Driver::Meetings
        } else if !self.meta.is_empty() {
            Driver::Metadata
        } else {
            Driver::Newest
        }
    }

    /// Up to `size` recordings after `cursor` and `skip` more: these columns of `r`, and `many`.
    ///
    /// A row without an `r` is none: it is there to say `many`. Then metadata matches too much to be looked
    /// up, and the page must be asked for with `walk`: the newest recordings in turn.
    pub(super) fn page(
        &self,
        columns: &str,
        cursor: Option<Cursor>,
        skip: u32,
        size: u32,
        walk: bool,
    ) -> Sql {
        // In the text, so that the planner knows how little it is; in few sizes, so that there are few
        // statements to remember.
        let most = u64::from(skip) + u64::from(size);
        let most = most.next_power_of_two().max(16);
        let mut sql = Sql::new("");
        let driver = if walk { Driver::Newest } else { self.driver() };
        let by_metadata = matches!(driver, Driver::Metadata);
        if by_metadata {
            sql.push("WITH ");
            self.hits(&mut sql);
            sql.push(format!(" SELECT {columns}, found.many FROM found LEFT JOIN (SELECT * FROM ("));
        } else {
            sql.push(format!("SELECT {columns}, false AS many FROM (SELECT * FROM ("));
        }
        match driver {
            Driver::Records => {
                sql.push("SELECT r.* FROM ");
                self.prefixes(&mut sql);
                sql.push(" WHERE true");
                self.filters(&mut sql, true, cursor);
            }
            Driver::Meetings => {
                sql.push("SELECT r.* FROM unnest(");
                sql.push_bind(self.meeting_ids.values().unwrap_or_default());
                sql.push("::text[]) AS asked (meeting) CROSS JOIN LATERAL (SELECT r.* FROM recordings r WHERE r.meeting_id = asked.meeting");
                self.filters(&mut sql, false, cursor);
                sql.push(format!("{ORDER} LIMIT {most}) r"));
            }
            Driver::Newest => self.newest(&mut sql, cursor, most),
            Driver::Metadata => {
                sql.push("SELECT r.* FROM hits JOIN recordings r ON r.id = hits.recording_id ");
                sql.push("WHERE NOT (SELECT many FROM found)");
                self.filters_of_hits(&mut sql, cursor);
            }
        }
        sql.push(format!("{ORDER} LIMIT {most}) r {ORDER} OFFSET "));
        sql.push_bind(i64::from(skip));
        sql.push(" LIMIT ");
        sql.push_bind(i64::from(size));
        sql.push(format!(") r {}{ORDER}", if by_metadata { "ON true" } else { "" }));
        sql
    }

    /// The newest of each state, of which the newest are the newest of all.
    fn newest(&self, sql: &mut Sql, cursor: Option<Cursor>, most: u64) {
        sql.push("SELECT r.* FROM (");
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
                sql.push("UNION SELECT c.state FROM recording_counts c");
            }
        }
        sql.push(
            ") AS asked (state) CROSS JOIN LATERAL (SELECT r.* FROM recordings r WHERE r.state = asked.state",
        );
        self.other_filters(sql, false, cursor);
        sql.push(format!("{ORDER} LIMIT {most}) r"));
    }

    /// OFFSET 0 keeps it as it stands: a probe for each beginning.
    fn prefixes(&self, sql: &mut Sql) {
        let (from, to) = ranges(self.record_ids.values().unwrap_or_default());
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
        if let Some(states) = self.states.values() {
            // No condition for an index: something else narrows more.
            sql.push(" AND coalesce(r.state, '') = ANY (");
            sql.push_bind(states);
            sql.push("::text[])");
        }
    }

    fn other_filters(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        self.places(sql, with_meetings, cursor);
        self.metadata(sql, 0);
    }

    fn places(&self, sql: &mut Sql, with_meetings: bool, cursor: Option<Cursor>) {
        if with_meetings && let Some(meetings) = self.meeting_ids.values() {
            sql.push(" AND r.meeting_id = ANY (");
            sql.push_bind(meetings);
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
            Driver::Metadata => return self.total_by_metadata(),
        }
        sql
    }
}

/// What all texts that begin so are before, byte by byte.
fn after(beginning: &str) -> String {
    format!("{beginning}{}", char::MAX)
}

/// Sorted beginnings as ranges that do not meet, so that nothing is found twice.
fn ranges(beginnings: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut kept: Vec<String> = Vec::new();
    for beginning in beginnings {
        if kept.last().is_none_or(|last| !beginning.starts_with(last.as_str())) {
            kept.push(beginning);
        }
    }
    let ends = kept.iter().map(|beginning| after(beginning)).collect();
    (kept, ends)
}
