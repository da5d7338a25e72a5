use std::sync::LazyLock;

use databases_core::{Array, ErrorKind, Value};
use proptest::prelude::*;
use tokio_postgres::types::Field;

use super::*;

const CODECS: fn() -> Codecs = Codecs::default;

fn user(name: &str, oid: u32, kind: Kind) -> Type {
    Type::new(name.into(), oid, kind, "public".into())
}

fn composite() -> Type {
    let fields = vec![Field::new("a".into(), Type::INT4), Field::new("b".into(), Type::NUMERIC_ARRAY)];
    user("pair", 99_990, Kind::Composite(fields))
}

/// Types of each shape, nested ones too.
static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let pair = composite();
    let mut types: Vec<_> = (1..6200).filter_map(Type::from_oid).collect();
    types.extend([
        user("_pair", 99_991, Kind::Array(pair.clone())),
        user("hstore", 99_992, Kind::Simple),
        user("_hstore", 99_993, Kind::Array(user("hstore", 99_992, Kind::Simple))),
        user("pairs", 99_994, Kind::Range(pair.clone())),
        pair,
    ]);
    types
});

fn decode<'a>(ty: &Type, name: &'a TypeName, bytes: &'a [u8]) -> Result<ValueRef<'a>> {
    Codec::of(ty, &CODECS()).decode(name, bytes, &Changes::default())
}

fn sequence(items: Vec<Value>, kind: ValueKind) -> Value {
    Value::Array(Box::new(Array::new(items, kind)))
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
        let error = codec.decode(&"t".into(), bytes, &Changes::default()).map(ValueRef::to_value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{codec:?} {bytes:?}");
    }
}

#[test]
fn a_lying_array_asks_for_no_memory() {
    let name = "_int4".into();
    for (count, rest) in [(i32::MAX, 0), (1 << 30, 8), (3, 8), (-1, 0)] {
        let mut bytes = [1_i32, 0, 23, count, 1].map(i32::to_be_bytes).concat();
        bytes.extend(std::iter::repeat_n(0xff, rest));
        assert!(decode(&Type::INT4_ARRAY, &name, &bytes).is_err(), "{count} {rest}");
    }
    for lengths in [&[1 << 16, 1 << 16][..], &[i32::MAX, 0, i32::MAX], &[1; 7], &[-1, -1], &[2, 2]] {
        let mut bytes = [i32::try_from(lengths.len()).unwrap(), 0, 23].map(i32::to_be_bytes).concat();
        bytes.extend(lengths.iter().flat_map(|length| [length.to_be_bytes(), 1_i32.to_be_bytes()]).flatten());
        let empty = lengths.contains(&0);
        let found = decode(&Type::INT4_ARRAY, &name, &bytes);
        assert_eq!(
            found.is_ok_and(|found| found.to_value() == sequence(vec![], ValueKind::Int32)),
            empty,
            "{lengths:?}"
        );
    }
}

#[test]
fn arrays_have_their_dimensions_and_bounds() {
    let name = "_int4".into();
    // select array_send('[0:0][5:6]={{7,NULL}}'::int4[])
    let mut bytes = [2_i32, 1, 23, 1, 0, 2, 5, 4, 7, -1].map(i32::to_be_bytes).concat();
    let ValueRef::Array(array) = decode(&Type::INT4_ARRAY, &name, &bytes).unwrap() else { panic!("an array") };
    assert_eq!((array.lower_bounds(), array.element_kind()), (&[0, 5][..], ValueKind::Int32));
    assert!(array.items() == [sequence(vec![Value::Int(7), Value::Null], ValueKind::Int32)]);
    bytes.push(0);
    assert!(decode(&Type::INT4_ARRAY, &name, &bytes).is_err());
}

#[test]
fn arrays_of_numbers_are_read_with_a_null_in_any_place() {
    let number = |ty: &Type, n: i64| match *ty {
        Type::INT4_ARRAY => (Value::Int(n), i32::try_from(n).unwrap().to_be_bytes().to_vec(), ValueKind::Int32),
        Type::INT8_ARRAY => (Value::Int(n), n.to_be_bytes().to_vec(), ValueKind::Int),
        _ => (Value::Float(4.5), 4.5_f64.to_be_bytes().to_vec(), ValueKind::Float),
    };
    for ty in [Type::INT4_ARRAY, Type::INT8_ARRAY, Type::FLOAT8_ARRAY] {
        for null in 0..6 {
            let mut bytes = [1_i32, 1, 23, 5, 1].map(i32::to_be_bytes).concat();
            let (mut items, mut kind) = (Vec::new(), ValueKind::Any);
            for index in 0..5 {
                // 4 and 8 look like lengths.
                let (value, encoded, of) = number(&ty, [-1, 4, 8, i32::MIN.into(), 4][index]);
                kind = of;
                let len = if index == null { -1 } else { i32::try_from(encoded.len()).unwrap() };
                bytes.extend(len.to_be_bytes());
                bytes.extend(if index == null { Vec::new() } else { encoded });
                items.push(if index == null { Value::Null } else { value });
            }
            let found = decode(&ty, &"t".into(), &bytes).map(ValueRef::to_value);
            assert!(found.is_ok_and(|found| found == sequence(items, kind)), "{ty} {null}");
            bytes.push(0);
            assert!(decode(&ty, &"t".into(), &bytes).is_err());
            assert!(decode(&ty, &"t".into(), &bytes[..bytes.len() - 2]).is_err());
        }
    }
}

#[test]
fn arrays_in_text_are_read() {
    let text = |text: &str| {
        let other = databases_core::Other { type_name: "inet".into(), bytes: text.into(), is_text: true };
        Value::Other(Box::new(other))
    };
    let read = |ty: &Type, literal: &str| Some(decode(ty, &"t".into(), literal.as_bytes()).ok()?.to_value());
    for (literal, expected) in [
        ("{}", sequence(vec![], ValueKind::Other)),
        (
            "{a,NULL,null,\"NULL\",\"\"}",
            sequence(vec![text("a"), Value::Null, Value::Null, text("NULL"), text("")], ValueKind::Other),
        ),
        (r#"{"a b","c\"\\d,{}",ü}"#, sequence(vec![text("a b"), text("c\"\\d,{}"), text("ü")], ValueKind::Other)),
        (
            "{{a,b},{c,NULL}}",
            sequence(
                vec![
                    sequence(vec![text("a"), text("b")], ValueKind::Other),
                    sequence(vec![text("c"), Value::Null], ValueKind::Other),
                ],
                ValueKind::Other,
            ),
        ),
    ] {
        assert!(read(&Type::INET_ARRAY, literal) == Some(expected), "{literal}");
    }
    let Some(Value::Array(bounds)) = read(&Type::INET_ARRAY, "[-1:-1][2:3]={{a,b}}") else { panic!("an array") };
    assert_eq!(bounds.lower_bounds(), [-1, 2]);
    let Some(Value::Array(boxes)) = read(&Type::BOX_ARRAY, "{(1,1),(0,0);(2,2),(1,1)}") else { panic!("an array") };
    let [Value::Other(first), Value::Other(second)] = boxes.items() else { panic!("two boxes") };
    assert_eq!((&*first.type_name, first.text(), second.text()), ("box", Some("(1,1),(0,0)"), Some("(2,2),(1,1)")));
    let numbers = vec![Value::Text("pg_class".to_owned()), Value::Text("7".to_owned())];
    assert!(read(&Type::REGCLASS_ARRAY, "{pg_class,7}") == Some(sequence(numbers, ValueKind::Text)));
    for wrong in [
        "",
        "{",
        "}",
        "a",
        "{a",
        "{a,}",
        "{,}",
        "{a}b",
        "{a\"b\"}",
        "{\"a}",
        "{\"a\\",
        "[1:1]{a}",
        "[1]={a}",
        "[x:1]={a}",
        "{{{{{{{a}}}}}}}",
        "{a}{b}",
        "{a\\b}",
        "[1:1][1:1][1:1][1:1][1:1][1:1][1:1]={a}",
    ] {
        assert!(read(&Type::INET_ARRAY, wrong).is_none(), "{wrong}");
    }
}

#[test]
fn what_would_take_far_more_memory_than_its_bytes_is_refused() {
    let name = "t".into();
    let largest = [&b"\0\x01\x7f\xff\0\0\0\0\0\x01"[..]].concat();
    assert!(decode(&Type::NUMERIC, &name, &largest).is_ok());
    let numerics = |count: i32| {
        let mut bytes = [1_i32, 0, 1700, count, 1].map(i32::to_be_bytes).concat();
        (0..count).for_each(|_| bytes.extend([&10_i32.to_be_bytes()[..], &largest].concat()));
        bytes
    };
    assert!(decode(&Type::NUMERIC_ARRAY, &name, &numerics(1)).is_ok());
    let error = decode(&Type::NUMERIC_ARRAY, &name, &numerics(100)).unwrap_err();
    assert_eq!(error.to_string(), "the value would take far more memory than it has bytes");
    // Records in records, as deep as the bytes say.
    let deep = (0..40).fold(vec![0; 4], |inner, _| {
        let len = i32::try_from(inner.len()).unwrap();
        [&[1_i32, 2249, len].map(i32::to_be_bytes).concat()[..], &inner].concat()
    });
    let error = decode(&Type::RECORD, &name, &deep).unwrap_err();
    assert_eq!(error.to_string(), "the value is nested more than 32 times");
}

#[test]
fn a_zero_of_any_weight_is_small() {
    let bytes = [&b"\0\0"[..], &i16::MAX.to_be_bytes(), &[0; 4]].concat();
    let Ok(ValueRef::Decimal(zero)) = Codec::Numeric.decode(&"numeric".into(), &bytes, &Changes::default()) else {
        panic!("a decimal")
    };
    assert_eq!(zero.as_str(), "0");
}

#[test]
fn types_have_their_codecs() {
    let domain = |base| user("d", 99_999, Kind::Domain(base));
    let array = |element| user("a", 99_998, Kind::Array(element));
    let named = |name: &str| user(name, 99_997, Kind::Simple);
    let literal = |delimiter: u8, type_name: &str| {
        format!("Literal(Items {{ delimiter: {delimiter}, codec: Other, type_name: TypeName({type_name:?}) }})")
    };
    let mood = || user("mood", 99_996, Kind::Enum(vec!["ok".into()]));
    let with_inet = user("hosts", 99_995, Kind::Composite(vec![Field::new("ip".into(), Type::INET)]));
    let deep = (0..40).fold(Type::INT4, |inner, _| domain(inner));
    // Twice as many parts at every level.
    let wide = (0..30).fold(Type::INT4, |inner, _| {
        let field = |name: &str| Field::new(name.into(), inner.clone());
        user("w", 99_989, Kind::Composite(vec![field("a"), field("b")]))
    });
    for (ty, codec) in [
        (domain(Type::NUMERIC), "Numeric"),
        (domain(domain(Type::TEXT)), "Text"),
        (mood(), "Text"),
        (array(mood()), "Array(Element { codec: Text, oid: 99996 })"),
        (named("citext"), "Text"),
        (named("hstore"), "Hstore"),
        (named("geometry"), "Other"),
        (array(named("geometry")), &literal(44, "geometry")),
        (domain(array(Type::INT4)), "Array(Element { codec: Int4, oid: 23 })"),
        (Type::INET, "Other"),
        (Type::INET_ARRAY, &literal(44, "inet")),
        (array(domain(domain(Type::INET))), &literal(44, "inet")),
        (Type::BOX_ARRAY, &literal(59, "box")),
        (Type::INT4_RANGE, "Range(Element { codec: Int4, oid: 23 })"),
        (Type::TSTZMULTI_RANGE, "Multirange(Element { codec: Timestamptz, oid: 1184 })"),
        (user("r", 99_988, Kind::Range(Type::INET)), "Other"),
        (with_inet.clone(), "Other"),
        (array(with_inet), &literal(44, "hosts")),
        (Type::RECORD, "Record"),
        (Type::REGCLASS, "Numbered(4294967295)"),
        (Type::XID8, "Numbered(18446744073709551615)"),
        (Type::ACLITEM_ARRAY, &literal(44, "aclitem")),
        (Type::TIMETZ, "Other"),
        (Type::INT8_ARRAY, "Array(Element { codec: Int8, oid: 20 })"),
        (Type::INT2_VECTOR, "Array(Element { codec: Int2, oid: 21 })"),
        (deep, "Other"),
        (wide, "Other"),
    ] {
        assert_eq!(format!("{:?}", Codec::of(&ty, &CODECS())), codec, "{ty}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for ty in &*TYPES {
            let _ = decode(ty, &"t".into(), &bytes).map(ValueRef::to_value);
        }
    }

    #[test]
    fn no_array_panics(
        head in proptest::collection::vec(-1_i32..4, 5),
        rest in proptest::collection::vec(prop_oneof![Just(0_u8), Just(4), Just(8), Just(255), any::<u8>()], 0..80),
    ) {
        let bytes = [head.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>(), rest].concat();
        for ty in &*TYPES {
            let _ = decode(ty, &"t".into(), &bytes);
        }
    }

    #[test]
    fn no_literal_panics(text in "[\\[\\]{}\",:=a1\\\\ü-]{0,40}") {
        let _ = decode(&Type::INET_ARRAY, &"t".into(), text.as_bytes());
    }
}
