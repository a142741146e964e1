//! Postgres' `timestamp without time zone`, which holds UTC here, in its wire format. sqlx decodes it only with a
//! calendar crate (chrono, time); milliseconds need none.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// Postgres counts from 2000-01-01.
const PG_EPOCH_UNIX_MS: i64 = 946_684_800_000;

/// Type OID of `timestamp`.
const TIMESTAMP_OID: Oid = Oid(1114);

/// µs since 2000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PgTimestamp(i64);

impl PgTimestamp {
    /// `infinity`, where recordings without a start are sorted.
    pub(super) const INFINITY: PgTimestamp = PgTimestamp(i64::MAX);

    /// From ms since 1970.
    pub(super) fn from_unix_ms(ms: i64) -> PgTimestamp {
        PgTimestamp(ms.saturating_sub(PG_EPOCH_UNIX_MS).saturating_mul(1000))
    }

    /// ms since 1970.
    pub(super) fn unix_ms(self) -> i64 {
        self.0.div_euclid(1000).saturating_add(PG_EPOCH_UNIX_MS)
    }
}

impl Type<Postgres> for PgTimestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMP_OID)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(TIMESTAMP_OID)
    }
}

impl Decode<'_, Postgres> for PgTimestamp {
    fn decode(value: PgValueRef<'_>) -> Result<PgTimestamp, BoxDynError> {
        Ok(PgTimestamp(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

impl Encode<'_, Postgres> for PgTimestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }
}
