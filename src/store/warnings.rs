//! Warnings about the pool: conditions that an operator must know of, as the last round of polls found them.

use super::connection::{Store, StoreResult};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a warning is about: its kind, a short word such as `no-servers`, and the id of a server or a meeting,
/// or an empty text for the whole pool.
pub type WarningSubject = (String, String);

/// A warning about the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolWarning {
    /// What it is about.
    pub subject: WarningSubject,
    /// One sentence for the operator: what is wrong and what to do.
    pub text: String,
    /// When a round first found it, ms since 1970.
    pub since_ms: u64,
}

impl Store {
    /// The warnings of the last round. None if no round has written any for a while.
    pub async fn warnings(&self) -> StoreResult<Vec<PoolWarning>> {
        let entries: BTreeMap<String, String> =
            self.command(redis::cmd("HGETALL").arg(self.keys.warnings())).await?;
        Ok(entries.into_iter().filter_map(|(field, value)| parse(&field, &value)).collect())
    }

    /// Replaces the warnings. They expire after `ttl` if no later round replaces them.
    pub async fn write_warnings(&self, warnings: &[PoolWarning], ttl: Duration) -> StoreResult<()> {
        let key = self.keys.warnings();
        let mut replace = redis::pipe();
        replace.atomic().del(&key).ignore();
        for PoolWarning { subject: (kind, subject), text, since_ms } in warnings {
            replace.hset(&key, format!("{kind} {subject}"), format!("{since_ms} {text}")).ignore();
        }
        replace.pexpire(&key, ttl.as_millis() as i64).ignore();
        self.pipeline::<()>(&replace).await
    }
}

fn parse(field: &str, value: &str) -> Option<PoolWarning> {
    let (kind, subject) = field.split_once(' ')?;
    let (since_ms, text) = value.split_once(' ')?;
    Some(PoolWarning {
        subject: (kind.to_owned(), subject.to_owned()),
        text: text.to_owned(),
        since_ms: since_ms.parse().ok()?,
    })
}
