//! Every advisory lock that `sl` takes in Postgres. They share one number space with whatever else uses the
//! database, so all numbers are here. 0x736c is "sl".

use sqlx::PgConnection;

/// A lock on one row's worth of data, by the hash of its name. Two names with the same hash wait for each
/// other, nothing worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Lock {
    /// One recording, by record id: import, publish, update, delete. Held while files move.
    Recording = 0x736c,
    /// The announcement of one recording, by internal meeting id: an import and a create that stores a
    /// recording-ready URL run one after the other, so that one of them sees both.
    Announcement = 0x736d,
    /// The row of one meetingID in Scalelite's `callback_data`.
    CallbackData = 0x736e,
}

/// `sl migrate`: one at a time in a database. A key of 64 bits, unlike those of [`Lock`]; archives that
/// importers claim have keys of 64 bits too, from a hash of their name (`recordings/import/claim.rs`).
pub const MIGRATION_KEY: i64 = 0x736c_6d69_6772;

impl Lock {
    /// Waits for the lock, which is released at the end of the transaction.
    pub async fn acquire(self, transaction: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind(self as i32)
            .bind(name)
            .execute(transaction)
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    /// Replicas of different versions run side by side.
    #[test]
    fn lock_numbers_never_change() {
        assert_eq!(
            [Lock::Recording, Lock::Announcement, Lock::CallbackData].map(|lock| lock as i32),
            [29548, 29549, 29550]
        );
    }
}
