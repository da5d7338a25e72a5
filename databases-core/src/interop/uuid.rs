//! Feature `uuid`: [`uuid::Uuid`](::uuid::Uuid), whose 16 bytes are core's, whatever their version.

use super::convert::values;
use crate::types::Uuid;

values! {
    ::uuid::Uuid => Uuid, "uuid::Uuid";
}

/// The same 16 bytes. Feature `uuid`.
impl From<::uuid::Uuid> for Uuid {
    fn from(uuid: ::uuid::Uuid) -> Self {
        Self::from_bytes(uuid.into_bytes())
    }
}

/// The same 16 bytes. Feature `uuid`.
impl From<Uuid> for ::uuid::Uuid {
    fn from(uuid: Uuid) -> Self {
        Self::from_bytes(*uuid.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::testing::{back, refusal};
    use super::*;
    use crate::{FromValue, IntoValue, Value, ValueKind, ValueRef};

    #[test]
    fn texts_and_bytes_are_read_as_core_reads_them() {
        let shown = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let uuid: ::uuid::Uuid = shown.parse().unwrap();
        for value in [
            ValueRef::Text(shown),
            ValueRef::Bytes(uuid.as_bytes()),
            ValueRef::Uuid(Uuid::from_bytes(*uuid.as_bytes())),
        ] {
            assert_eq!(::uuid::Uuid::from_value(value).unwrap(), uuid);
        }
        assert_eq!(refusal::<::uuid::Uuid>(ValueRef::Text("67e5")), "this text does not have the form of uuid::Uuid");
        assert_eq!(refusal::<::uuid::Uuid>(ValueRef::Int(1)), "an integer cannot be read as uuid::Uuid");
        assert_eq!(refusal::<::uuid::Uuid>(ValueRef::Bytes(&[0; 15])), "bytes cannot be read as uuid::Uuid");
        assert_eq!(<Option<::uuid::Uuid> as IntoValue>::KIND, ValueKind::Uuid);
        assert_eq!(None::<::uuid::Uuid>.into_value(), Value::Null);
    }

    proptest! {
        #[test]
        fn all_bytes_round_trip(bytes: [u8; 16]) {
            let theirs = ::uuid::Uuid::from_bytes(bytes);
            prop_assert_eq!(back(theirs), theirs);
            prop_assert_eq!(Uuid::from(theirs).to_string(), theirs.to_string());
            prop_assert_eq!(::uuid::Uuid::from(Uuid::from_bytes(bytes)), theirs);
        }
    }
}
