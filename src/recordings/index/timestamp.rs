//! Postgres' `timestamp without time zone`, which holds UTC here, as the number it is on the wire.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// From 1970 to 2000, where Postgres begins to count.
const EPOCH_MS: i64 = 946_684_800_000;

/// µs since 2000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(i64);

impl Time {
    /// `-infinity`: where recordings without a start stand.
    pub(super) const NEVER: Time = Time(i64::MIN);

    /// From ms since 1970.
    pub(super) fn of_unix_ms(ms: i64) -> Time {
        Time(ms.saturating_sub(EPOCH_MS).saturating_mul(1000))
    }

    /// ms since 1970.
    pub(super) fn unix_ms(self) -> i64 {
        self.0.div_euclid(1000).saturating_add(EPOCH_MS)
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1114))
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(Oid(1114))
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Time, BoxDynError> {
        Ok(Time(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }
}
