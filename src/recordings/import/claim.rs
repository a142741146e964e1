//! Who works on an archive: one importer, whichever host it runs on.
//!
//! A claim is an advisory lock in Postgres, held by a transaction that stays open. It needs no clocks
//! that agree and no file system that locks, and it ends with its holder: when the process dies, the
//! connection does, and Postgres lets go at once; when a host vanishes, Postgres notices by keepalive
//! within about a minute. The lock is of the transaction and not of the session, so that a pooler
//! which lends connections by the transaction does no harm. An idle transaction that wrote nothing
//! holds nobody up.

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};
use std::time::Duration;

/// What is claimed: the archives of one name, or one file outside of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(i64);

impl Key {
    /// Of an archive in the spool. Importers on other hosts may have it mounted elsewhere, so only the
    /// name counts.
    pub(super) fn of(name: &str) -> Key {
        let digest = Sha256::digest(format!("sl archive {name}"));
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Key(i64::from_be_bytes(first))
    }

    /// As it stands in the names of work directories.
    pub(super) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    pub(super) fn parse(hex: &str) -> Option<Key> {
        u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 16).map(|key| Key(key.cast_signed()))
    }
}

/// Gives out claims.
#[derive(Debug, Clone)]
pub(super) struct Claims(PgPool);

/// A claim that is held until it is let go or dropped.
pub(super) struct Claim(Transaction<'static, Postgres>);

impl Claims {
    /// For so many claims at once. Nobody need be there yet.
    pub(super) fn new(database: &PgConnectOptions, most: u32) -> Claims {
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60));
        Claims(pool.connect_lazy_with(database.clone()))
    }

    /// None if somebody else has it.
    pub(super) async fn claim(&self, key: Key) -> Result<Option<Claim>, sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        // The transaction lasts as long as the import. What an administrator has set against idle ones
        // must not end it; transaction_timeout is there from Postgres 17 on.
        let (claimed, _): (bool, i64) = sqlx::query_as(
            "SELECT pg_try_advisory_xact_lock($1), count(set_config(name, \
                 CASE name WHEN 'tcp_keepalives_idle' THEN '20' WHEN 'tcp_keepalives_interval' THEN '10' \
                           WHEN 'tcp_keepalives_count' THEN '4' ELSE '0' END, true)) \
             FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout', \
                 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count')",
        )
        .bind(key.0)
        .fetch_one(&mut *transaction)
        .await?;
        if claimed {
            return Ok(Some(Claim(transaction)));
        }
        transaction.rollback().await?;
        Ok(None)
    }
}

impl Claim {
    /// An error if it was lost: the connection is gone, or Postgres has been restarted.
    pub(super) async fn check(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&mut *self.0).await.map(drop)
    }

    /// Lets go. That it was lost before makes no difference.
    pub(super) async fn release(self) {
        let _ = self.0.rollback().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_way_through_a_name() {
        for name in ["a.tar", "b.tar", "", "ä"] {
            let key = Key::of(name);
            assert_eq!(Key::parse(&key.hex()), Some(key));
        }
        assert_ne!(Key::of("a.tar"), Key::of("b.tar"));
        assert_eq!(Key::parse("xyz"), None);
        assert_eq!(Key::parse("1"), None);
    }
}
