use databases_core::types::{Date, DateTime, Interval, JsonText, Sign, Time, Timestamp, Uuid};
use databases_core::{Array, Effect, ValueKind};
use proptest::prelude::*;
use tokio_postgres::types::{Field, Kind};

use super::*;
use crate::types::Changes;

fn value(value: Value) -> Arg {
    let kind = value.kind();
    Arg { value, kind }
}

/// The bytes and format of one value for one type.
fn bytes(ty: &Type, v: Value) -> Result<(Option<Vec<u8>>, bool)> {
    let encoded = Encoded::new(&[value(v)], &[Param::new(ty, &Codecs::default())])?;
    let ready = encoded.iter().next().unwrap();
    Ok((ready.bytes.map(<[u8]>::to_vec), matches!(ready.format, Format::Binary)))
}

/// Writes a value and reads it back.
fn round(ty: &Type, v: Value) -> Value {
    let (bytes, binary) = bytes(ty, v).unwrap_or_else(|error| panic!("{ty}: {error}"));
    assert!(binary, "{ty}");
    let bytes = bytes.unwrap();
    Codec::of(ty, &Codecs::default()).decode(&ty.name().into(), &bytes, &Changes::default()).unwrap().to_value()
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().unwrap())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn array(items: Vec<Value>, kind: ValueKind) -> Value {
    Value::Array(Box::new(Array::new(items, kind)))
}

fn foreign(type_name: &str, text: &str) -> Value {
    let other = databases_core::Other { type_name: type_name.into(), bytes: text.into(), is_text: true };
    Value::Other(Box::new(other))
}

fn pair() -> Type {
    let fields = vec![Field::new("a".into(), Type::INT4), Field::new("b".into(), Type::NUMERIC_ARRAY)];
    Type::new("pair".into(), 99_990, Kind::Composite(fields), "public".into())
}

#[test]
fn extremes_come_back() {
    let uuid = Uuid::from_bytes(std::array::from_fn(|n| u8::try_from(n).unwrap()));
    for (ty, v) in [
        (Type::BOOL, Value::Bool(true)),
        (Type::BOOL, Value::Bool(false)),
        (Type::INT2, Value::Int(i16::MIN.into())),
        (Type::INT4, Value::Int(i32::MAX.into())),
        (Type::INT8, Value::Int(i64::MIN)),
        (Type::OID, Value::Int(u32::MAX.into())),
        (Type::FLOAT4, Value::Float(f32::MIN_POSITIVE.into())),
        (Type::FLOAT8, Value::Float(f64::MAX)),
        (Type::FLOAT8, Value::Float(-0.0)),
        (Type::FLOAT8, Value::Float(f64::NEG_INFINITY)),
        (Type::NUMERIC, decimal("-12345678901234567890.0123456789")),
        (Type::NUMERIC, decimal("NaN")),
        (Type::NUMERIC, decimal("-Infinity")),
        (Type::NUMERIC, decimal("1.500")),
        (Type::TEXT, text("")),
        (Type::VARCHAR, text("ü\u{1f600}")),
        (Type::CHAR, text("x")),
        (Type::CHAR, text("")),
        (Type::BYTEA, Value::Bytes((0..=255).collect())),
        (Type::DATE, Value::Date(Date::MIN)),
        (Type::DATE, Value::Date(Date::MAX)),
        (Type::DATE, Value::Date(Date::INFINITY)),
        (Type::DATE, Value::Date(Date::NEG_INFINITY)),
        (Type::TIME, Value::Time(Time::MAX)),
        (Type::TIMESTAMP, Value::DateTime(DateTime::MIN)),
        (Type::TIMESTAMP, Value::DateTime(DateTime::INFINITY)),
        (Type::TIMESTAMPTZ, Value::Timestamp(Timestamp::MAX)),
        (Type::TIMESTAMPTZ, Value::Timestamp(Timestamp::NEG_INFINITY)),
        (Type::INTERVAL, Value::Interval(Interval::new(i32::MIN, 5, i64::MAX))),
        (Type::UUID, Value::Uuid(uuid)),
        (Type::JSON, Value::Json(JsonText::new("{ }"))),
        (Type::JSONB, Value::Json(JsonText::new("[1]"))),
        (Type::INT4_ARRAY, array(vec![Value::Int(1), Value::Null], ValueKind::Int32)),
        (Type::TEXT_ARRAY, array(vec![], ValueKind::Text)),
        (Type::NUMERIC_ARRAY, array(vec![decimal("1.0"), decimal("NaN")], ValueKind::Decimal)),
    ] {
        let found = round(&ty, v.clone());
        assert!(found == v, "{ty}");
    }
    assert!(matches!(round(&Type::FLOAT8, Value::Float(f64::NAN)), Value::Float(v) if v.is_nan()));
    assert!(bytes(&Type::INT4, Value::Null).unwrap().0.is_none());
}

#[test]
fn values_take_the_servers_type() {
    let day = "2024-02-29 01:02:03.5";
    let moment: DateTime = day.parse().unwrap();
    for (ty, v, expected) in [
        (Type::INT2, Value::UInt(7), Value::Int(7)),
        (Type::INT4, decimal("7.00"), Value::Int(7)),
        (Type::INT8, text("-7"), Value::Int(-7)),
        (Type::FLOAT8, Value::Int(1 << 53), Value::Float(9_007_199_254_740_992.0)),
        (Type::FLOAT8, decimal("0.1"), Value::Float(0.1)),
        (Type::FLOAT4, Value::Float(0.1), Value::Float(f64::from(0.1_f32))),
        (Type::NUMERIC, Value::Int(i64::MIN), decimal("-9223372036854775808")),
        (Type::NUMERIC, Value::UInt(u64::MAX), decimal("18446744073709551615")),
        (Type::NUMERIC, text("1.50"), decimal("1.50")),
        (Type::TEXT, Value::Json(JsonText::new("{}")), text("{}")),
        (Type::JSONB, text("{}"), Value::Json(JsonText::new("{}"))),
        (Type::TIMESTAMP, text(day), Value::DateTime(moment)),
        (Type::TIMESTAMPTZ, Value::DateTime(moment), Value::Timestamp(moment.assume_utc())),
        (Type::TIMESTAMP, Value::Timestamp(moment.assume_utc()), Value::DateTime(moment)),
        (Type::TIMESTAMPTZ, text("2024-02-29 03:02:03.5+02"), Value::Timestamp(moment.assume_utc())),
        (Type::DATE, text("2024-02-29"), Value::Date(moment.date())),
        (Type::INTERVAL, text("P1M"), Value::Interval(Interval::new(1, 0, 0))),
        (Type::UUID, text("00000000-0000-0000-0000-000000000000"), Value::Uuid(Uuid::nil())),
    ] {
        assert!(round(&ty, v) == expected, "{ty}");
    }
}

#[test]
fn what_does_not_fit_is_refused_without_its_value() {
    let secret = "hunter2";
    for (ty, v, says) in [
        (Type::INT2, Value::Int(32_768), "parameter $1: an integer does not fit int2 exactly"),
        (Type::INT4, Value::UInt(u64::MAX), "parameter $1: an integer does not fit int4 exactly"),
        (Type::INT4, decimal("1.5"), "parameter $1: a decimal does not fit int4 exactly"),
        (Type::INT4, text(secret), "parameter $1: this text does not have the form of int4"),
        (Type::INT4, Value::Bool(true), "parameter $1: a boolean cannot be bound as int4"),
        (Type::INT4, Value::Float(1.0), "parameter $1: a floating point number cannot be bound as int4"),
        (Type::BOOL, Value::Int(1), "parameter $1: an integer cannot be bound as bool"),
        (Type::FLOAT8, Value::Int((1 << 53) + 1), "parameter $1: an integer does not fit float8 exactly"),
        (Type::FLOAT8, Value::Int(i64::MAX), "parameter $1: an integer does not fit float8 exactly"),
        (Type::FLOAT4, Value::Float(1e300), "parameter $1: a floating point number does not fit float4 exactly"),
        (Type::FLOAT4, Value::Float(1e-300), "parameter $1: a floating point number does not fit float4 exactly"),
        (
            Type::NUMERIC,
            Value::Float(0.1),
            "parameter $1: a floating point number cannot be bound as numeric: its digits are not exact",
        ),
        (Type::TEXT, Value::Int(1), "parameter $1: an integer cannot be bound as text"),
        (Type::TEXT, text("hunter2\0"), "parameter $1: text with a NUL cannot be bound as text"),
        (Type::BYTEA, text(secret), "parameter $1: text cannot be bound as bytea"),
        (Type::DATE, text("2024-02-29 12:30:00"), "parameter $1: this text does not have the form of date"),
        (Type::DATE, text("2024-02-29T12:30:00Z"), "parameter $1: this text does not have the form of date"),
        (Type::TIME, text("2024-02-29 12:30:00"), "parameter $1: this text does not have the form of time"),
        (Type::TIME, text("12:30:00+02"), "parameter $1: this text does not have the form of time"),
        (
            Type::TIMESTAMP,
            text("2024-02-29 12:30:00+02"),
            "parameter $1: this text does not have the form of timestamp",
        ),
        (Type::FLOAT8, text("1e400"), "parameter $1: text does not fit float8 exactly"),
        (Type::XID8, Value::Int(-1), "parameter $1: an integer does not fit xid8 exactly"),
        (Type::REGCLASS, Value::Int(-1), "parameter $1: an integer does not fit regclass exactly"),
        (Type::REGTYPE, Value::UInt(u64::MAX), "parameter $1: an integer does not fit regtype exactly"),
        (Type::REGROLE, Value::Int(1 << 32), "parameter $1: an integer does not fit regrole exactly"),
        (
            Type::REGCLASS_ARRAY,
            array(vec![Value::Int(1 << 32)], ValueKind::Int),
            "parameter $1: item 0 of an array does not fit exactly in regclass[]",
        ),
        (
            Type::BIT_ARRAY,
            array(vec![Value::Int(101)], ValueKind::Int),
            "parameter $1: item 0 of an array cannot be bound in bit[]",
        ),
        (
            Type::INT2_VECTOR,
            array(vec![Value::Int(1), Value::Int(1 << 15)], ValueKind::Int),
            "parameter $1: item 1 of an array does not fit exactly in int2vector",
        ),
        (
            Type::OID_VECTOR,
            array(vec![Value::Null], ValueKind::Int),
            "parameter $1: item 0 of an array cannot be bound in oidvector",
        ),
        (Type::INT4, foreign("bit", "101"), "parameter $1: a value of another type cannot be bound as int4"),
        (Type::CHAR, text("xy"), "parameter $1: this text does not have the form of char"),
        (Type::INET, Value::Int(1), "parameter $1: an integer cannot be bound as inet"),
        (
            Type::INT4_ARRAY,
            array(vec![Value::Int(1), text(secret)], ValueKind::Any),
            "parameter $1: item 1 of an array does not have the form of an item of int4[]",
        ),
        (
            Type::INT4_ARRAY,
            array(vec![Value::Int(1), array(vec![], ValueKind::Any)], ValueKind::Array),
            "parameter $1: item 1 of an array cannot be bound in int4[]",
        ),
        (
            Type::INT4_ARRAY,
            array(vec![array(vec![Value::Int(1)], ValueKind::Any), array(vec![], ValueKind::Any)], ValueKind::Array),
            "parameter $1: the arrays in an array bound as int4[] must be of one length",
        ),
        (
            Type::INT4_ARRAY,
            array(vec![array(vec![], ValueKind::Any), array(vec![], ValueKind::Any)], ValueKind::Array),
            "parameter $1: an array of empty arrays cannot be bound as int4[], which has only one that is empty",
        ),
        (
            Type::INET_ARRAY,
            array(vec![array(vec![], ValueKind::Any)], ValueKind::Array),
            "parameter $1: an array of empty arrays cannot be bound as inet[], which has only one that is empty",
        ),
        (
            Type::INT4_ARRAY,
            (0..7).fold(Value::Int(1), |item, _| array(vec![item], ValueKind::Array)),
            "parameter $1: an array bound as int4[] can have 6 dimensions at most",
        ),
        (
            Type::INT4_RANGE,
            Value::Array(Box::new(Array::range((Value::Int(1), true), (Value::Int(1 << 40), false), ValueKind::Int))),
            "parameter $1: upper bound of a range does not fit exactly in int4range",
        ),
        (
            Type::INT4MULTI_RANGE,
            array(
                vec![Value::Array(Box::new(Array::range((text(secret), true), (Value::Null, false), ValueKind::Text)))],
                ValueKind::Array,
            ),
            "parameter $1: item 0, lower bound of an array does not have the form of an item of int4multirange",
        ),
        (Type::INT4_RANGE, Value::Int(1), "parameter $1: an integer cannot be bound as int4range"),
        (
            pair(),
            Value::Array(Box::new(Array::record(vec![Value::Int(1)]))),
            "parameter $1: a record of 1 fields cannot be bound as pair, which has 2",
        ),
        (
            pair(),
            Value::Array(Box::new(Array::record(vec![Value::Int(1), array(vec![text(secret)], ValueKind::Text)]))),
            "parameter $1: field 1, item 0 of a record does not have the form of an item of pair",
        ),
        (
            Type::INET_ARRAY,
            array(vec![Value::Bool(true)], ValueKind::Bool),
            "parameter $1: item 0 of an array cannot be bound in inet[]",
        ),
    ] {
        let error = bytes(&ty, v).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Encode, says));
        assert!(!format!("{error:?}").contains(secret));
    }
}

#[test]
fn the_server_reads_the_text_of_what_only_it_knows() {
    let mood = Type::new("mood".into(), 99_996, Kind::Enum(vec![]), "public".into());
    assert_eq!(bytes(&mood, text("ok")).unwrap(), (Some(b"ok".to_vec()), true));
    for ty in [Type::INET, Type::INT4_RANGE, Type::INT4_ARRAY, Type::REGCLASS] {
        assert_eq!(bytes(&ty, text("x")).unwrap(), (Some(b"x".to_vec()), false));
    }
    for (ty, forms) in [
        (Type::INTERVAL, &["1 century", "infinity", ""][..]),
        (Type::DATE, &["now", "29 Feb 2024"]),
        (Type::TIME, &["noon"]),
        (Type::TIMESTAMP, &["epoch"]),
        (Type::TIMESTAMPTZ, &["2024-02-29 12:30 Europe/Rome"]),
    ] {
        for form in forms {
            assert_eq!(bytes(&ty, text(form)).unwrap(), (Some(form.as_bytes().to_vec()), false), "{ty}");
        }
    }
    for ty in [Type::INET, Type::TEXT, Type::CIDR] {
        assert_eq!(bytes(&ty, foreign("inet", "::1")).unwrap(), (Some(b"::1".to_vec()), false));
    }
    let other = databases_core::Other { type_name: "inet".into(), bytes: vec![2, 32], is_text: false };
    assert_eq!(bytes(&Type::INET, Value::Other(Box::new(other))).unwrap(), (Some(vec![2, 32]), true));
}

#[test]
fn vectors_go_as_their_text_which_has_a_form_of_none() {
    for (numbers, expected) in [(&[][..], ""), (&[1, 2, 4_294_967_295], "1 2 4294967295")] {
        let numbers = array(numbers.iter().copied().map(Value::Int).collect(), ValueKind::Int);
        assert_eq!(bytes(&Type::OID_VECTOR, numbers).unwrap(), (Some(expected.as_bytes().to_vec()), false));
    }
    let negative = array(vec![Value::Int(-1)], ValueKind::Int);
    assert_eq!(bytes(&Type::INT2_VECTOR, negative).unwrap(), (Some(b"-1".to_vec()), false));
}

#[test]
fn infinite_intervals_are_refused_where_the_server_has_none() {
    let interval = Value::Interval(Interval::NEG_INFINITY);
    for held in [
        interval.clone(),
        array(vec![Value::Null, interval.clone()], ValueKind::Interval),
        Value::Array(Box::new(Array::record(vec![array(vec![interval], ValueKind::Interval)]))),
    ] {
        let args = [value(text("hunter2")), value(held)];
        let error = check_intervals(&args, || "15.18 (Debian 15.18-0)".to_owned()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        let says = "parameter $2: an infinite interval cannot be bound on PostgreSQL 15.18 (Debian 15.18-0)";
        assert_eq!(error.to_string(), says);
        for version in ["17beta1", "18.4 (Debian)", ""] {
            assert!(check_intervals(&args, || version.to_owned()).is_ok(), "{version}");
        }
    }
    let finite = [value(Value::Interval(Interval::new(1, 2, 3))), value(array(vec![Value::Int(1)], ValueKind::Int))];
    assert!(check_intervals(&finite, || "15.18".to_owned()).is_ok());
}

#[test]
fn the_driver_never_sees_a_value_to_log() {
    let encoded = Encoded::new(&[value(text("hunter2"))], &[Param::new(&Type::TEXT, &Codecs::default())]).unwrap();
    assert_eq!(format!("{:?}", encoded.iter().next().unwrap()), "..");
}

#[test]
fn too_many_parameters_are_refused() {
    let args = vec![value(Value::Null); 65_536];
    let error = Encoded::new(&args, &[]).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn what_a_message_has_no_room_for_is_refused_and_not_sent() {
    // The limit is 1 GiB; here it is smaller, so that reaching it is no matter of memory.
    let args = [value(text("four")), value(Value::Null), value(Value::Bytes(vec![0; 10]))];
    let params = [Type::TEXT, Type::TEXT, Type::BYTEA].map(|ty| Param::new(&ty, &Codecs::default()));
    // 14 bytes, and 8 of the message's own for each.
    let just_fits = 14 + 3 * 8;
    assert!(Encoded::within(just_fits, &args, &params).is_ok());
    for most in [just_fits - 1, 12 + 3 * 8, 0] {
        let error = Encoded::within(most, &args, &params).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::LimitExceeded, Effect::NotSent), "{most}");
        assert!(error.to_string().starts_with("the parameters take more than 1 GiB"), "{error}");
    }
    assert!(check_length("statement", "SELECT 1", 8).is_ok());
    for what in ["statement", "script"] {
        let error = check_length(what, "SELECT 1", 7).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::LimitExceeded, Effect::NotSent));
        assert!(error.to_string().starts_with(&format!("the {what} is longer than 1 GiB")), "{error}");
    }
}

#[test]
fn numeric_has_the_servers_bytes() {
    // select numeric_send(-1.50): \x0002000040000002 0001 1388
    let (bytes, _) = bytes(&Type::NUMERIC, decimal("-1.50")).unwrap();
    assert_eq!(bytes.unwrap(), [0, 2, 0, 0, 0x40, 0, 0, 2, 0, 1, 0x13, 0x88]);
    assert_eq!(Sign::Negative.code(), 0x4000);
}

proptest! {
    #[test]
    fn integers_come_back(v: i64) {
        prop_assert!(round(&Type::INT8, Value::Int(v)) == Value::Int(v));
        prop_assert!(round(&Type::NUMERIC, Value::Int(v)) == Value::Decimal(v.into()));
        let fits = i32::try_from(v).is_ok();
        prop_assert_eq!(bytes(&Type::INT4, Value::Int(v)).is_ok(), fits);
    }

    #[test]
    fn doubles_come_back(bits: u64) {
        let Value::Float(found) = round(&Type::FLOAT8, Value::Float(f64::from_bits(bits))) else { panic!("a double") };
        prop_assert!(found.to_bits() == bits || found.is_nan());
    }

    #[test]
    fn decimals_come_back_with_their_scale(v in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?") {
        let Value::Decimal(found) = round(&Type::NUMERIC, decimal(&v)) else { panic!("a decimal") };
        let Value::Decimal(given) = decimal(&v) else { panic!("a decimal") };
        prop_assert_eq!(found.as_str(), given.as_str());
    }

    #[test]
    fn arrays_of_text_come_back(items in proptest::collection::vec(proptest::option::of("[^\0]{0,8}"), 0..12)) {
        let items = items.into_iter().map(|item| item.map_or(Value::Null, Value::Text)).collect();
        let v = array(items, ValueKind::Text);
        prop_assert!(round(&Type::TEXT_ARRAY, v.clone()) == v);
    }
}
