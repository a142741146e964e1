//! The exclusive right to import an archive, across all hosts.
//!
//! A claim is an advisory lock in Postgres, held by a transaction that stays open. It needs neither
//! synchronised clocks nor file locks, and it ends with its holder: when the process dies, its connection
//! closes, and Postgres releases the lock at once; when a host vanishes, Postgres notices by keepalive
//! within about a minute. The lock belongs to the transaction and not to the session, so that it works behind
//! a pooler in transaction mode. An idle transaction that wrote nothing blocks no other.

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What is claimed: all archives of one name in the spool, or one file outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClaimKey(i64);

impl ClaimKey {
    /// The key of an archive in the spool. Only its name counts: other hosts may have mounted the spool at
    /// another path.
    pub(super) fn of(name: &str) -> ClaimKey {
        let digest = Sha256::digest(format!("sl archive {name}"));
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        ClaimKey(i64::from_be_bytes(first))
    }

    /// As used in the names of work directories.
    pub(super) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    pub(super) fn parse(hex: &str) -> Option<ClaimKey> {
        u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 16).map(|key| ClaimKey(key.cast_signed()))
    }
}

/// The connections that hold claims.
#[derive(Debug, Clone)]
pub(super) struct ClaimPool(PgPool);

/// A claim, held until it is released or dropped.
pub(super) struct Claim {
    key: ClaimKey,
    transaction: Transaction<'static, Postgres>,
}

impl ClaimPool {
    /// For at most `max_claims` at once. Connects when the first claim is taken.
    pub(super) fn new(database: &PgConnectOptions, max_claims: u32) -> ClaimPool {
        let pool = PgPoolOptions::new()
            .max_connections(max_claims)
            .acquire_timeout(CONNECT_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT);
        ClaimPool(pool.connect_lazy_with(database.clone()))
    }

    /// None if another importer has it.
    pub(super) async fn try_claim(&self, key: ClaimKey) -> Result<Option<Claim>, sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        // The transaction lasts as long as the import: timeouts against idle or long transactions must not
        // end it. transaction_timeout exists since Postgres 17.
        let (claimed, _): (bool, i64) = sqlx::query_as(
            "SELECT pg_try_advisory_xact_lock($1), count(set_config(name, \
                 CASE name WHEN 'tcp_keepalives_idle' THEN '20' WHEN 'tcp_keepalives_interval' THEN '10' \
                           WHEN 'tcp_keepalives_count' THEN '4' ELSE '0' END, true)) \
             FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout', \
                 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count')",
        )
        .bind(key.0)
        // Behind a pooler in transaction mode, its name might be taken in this session.
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
        if claimed {
            return Ok(Some(Claim { key, transaction }));
        }
        transaction.rollback().await?;
        Ok(None)
    }
}

impl Claim {
    pub(super) fn key(&self) -> ClaimKey {
        self.key
    }

    /// Fails if the claim was lost: the connection closed, or Postgres was restarted.
    pub(super) async fn check(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").persistent(false).execute(&mut *self.transaction).await.map(drop)
    }

    /// A claim that was lost before needs no release.
    pub(super) async fn release(self) {
        let _ = self.transaction.rollback().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_key_parses_its_own_hex() {
        for name in ["a.tar", "b.tar", "", "ä"] {
            let key = ClaimKey::of(name);
            assert_eq!(ClaimKey::parse(&key.hex()), Some(key));
        }
        assert_ne!(ClaimKey::of("a.tar"), ClaimKey::of("b.tar"));
        assert_eq!(ClaimKey::parse("xyz"), None);
        assert_eq!(ClaimKey::parse("1"), None);
    }
}
