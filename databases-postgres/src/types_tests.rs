use proptest::prelude::*;

use super::*;

/// Every codec, an array of one too.
fn codecs() -> Vec<Codec> {
    use Codec::*;
    let mut codecs = vec![
        Bool,
        Int2,
        Int4,
        Int8,
        Oid,
        Float4,
        Float8,
        Numeric,
        Text,
        Char,
        Bytea,
        Date,
        Time,
        Timestamp,
        Timestamptz,
        Interval,
        Uuid,
        Json,
        Jsonb,
        Void,
        Other,
    ];
    for codec in codecs.clone() {
        codecs.push(Array(Box::new(codec), 1));
    }
    codecs
}

#[test]
fn bytes_that_are_no_value_are_errors() {
    for (codec, bytes) in [
        (Codec::Bool, &b""[..]),
        (Codec::Int4, b"\0\0\0"),
        (Codec::Int8, b"\0\0\0\0\0\0\0\0\0"),
        (Codec::Text, b"\xff"),
        (Codec::Json, b"\xc3"),
        (Codec::Jsonb, b""),
        (Codec::Jsonb, b"\x02{}"),
        (Codec::Uuid, &[0; 15]),
        (Codec::Time, &(-1_i64).to_be_bytes()),
        (Codec::Date, &(i32::MAX - 1).to_be_bytes()),
        (Codec::Timestamp, &(i64::MIN + 1).to_be_bytes()),
        (Codec::Interval, &[0; 15]),
        (Codec::Numeric, b"\0\x01\0\0\0\0\0\0"),
        (Codec::Numeric, b"\0\0\0\0\x12\x34\0\0"),
        (Codec::Char, b"ab"),
    ] {
        let error = codec.decode(&"t".into(), bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{codec:?} {bytes:?}");
    }
}

#[test]
fn a_lying_array_asks_for_no_memory() {
    let element = Codec::Array(Box::new(Codec::Int4), 23);
    for (count, rest) in [(i32::MAX, 0), (1 << 30, 8), (3, 8), (-1, 0)] {
        let mut bytes = [1_i32, 0, 23, count, 1].map(i32::to_be_bytes).concat();
        bytes.extend(std::iter::repeat_n(0xff, rest));
        assert!(element.decode(&"t".into(), &bytes).is_err(), "{count} {rest}");
    }
    let two_dimensions = [2_i32, 0, 23, 1, 1, 1, 1, 4, 7].map(i32::to_be_bytes).concat();
    assert!(
        matches!(element.decode(&"_int4".into(), &two_dimensions), Ok(ValueRef::Other { type_name, .. }) if &**type_name == "_int4")
    );
}

#[test]
fn a_zero_of_any_weight_is_small() {
    let bytes = [&b"\0\0"[..], &i16::MAX.to_be_bytes(), &[0; 4]].concat();
    let Ok(ValueRef::Decimal(zero)) = Codec::Numeric.decode(&"numeric".into(), &bytes) else { panic!("a decimal") };
    assert_eq!(zero.as_str(), "0");
}

#[test]
fn types_have_their_codecs() {
    let domain = |base| Type::new("d".into(), 99_999, Kind::Domain(base), "public".into());
    let array = |element| Type::new("a".into(), 99_998, Kind::Array(element), "public".into());
    let named = |name: &str| Type::new(name.into(), 99_997, Kind::Simple, "public".into());
    let mood = Type::new("mood".into(), 99_996, Kind::Enum(vec!["ok".into()]), "public".into());
    for (ty, codec) in [
        (domain(Type::NUMERIC), Codec::Numeric),
        (domain(domain(Type::TEXT)), Codec::Text),
        (mood.clone(), Codec::Text),
        (array(mood), Codec::Array(Box::new(Codec::Text), 99_996)),
        (named("citext"), Codec::Text),
        (named("geometry"), Codec::Other),
        (array(named("geometry")), Codec::Other),
        (Type::INET, Codec::Other),
        (Type::INT4_RANGE, Codec::Other),
        (Type::RECORD, Codec::Other),
        (Type::TIMETZ, Codec::Other),
        (Type::INT8_ARRAY, Codec::Array(Box::new(Codec::Int8), 20)),
        (Type::INT2_VECTOR, Codec::Array(Box::new(Codec::Int2), 21)),
    ] {
        assert_eq!(Codec::of(&ty), codec, "{ty}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for codec in codecs() {
            let _ = codec.decode(&"t".into(), &bytes).map(ValueRef::to_value);
        }
    }

    #[test]
    fn no_array_panics(
        head in proptest::collection::vec(-1_i32..4, 5),
        rest in proptest::collection::vec(prop_oneof![Just(0_u8), Just(4), Just(8), Just(255), any::<u8>()], 0..80),
    ) {
        let bytes = [head.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>(), rest].concat();
        for codec in codecs() {
            let _ = codec.decode(&"t".into(), &bytes);
        }
    }
}
