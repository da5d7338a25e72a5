//! Values in both directions: what is bound, and what a cell is.
//!
//! Cells come in two forms: the binary protocol has typed values, the text protocol (statements that cannot be
//! prepared) has text for everything, which is read by the column's type.

use databases_core::types::{Date, DateTime, Decimal, Interval, Time};
use databases_core::{Arg, Error, ErrorKind, Result, TypeName, Value as Ours, ValueRef};
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column, Value};

/// The character set of bytes.
const BINARY: u16 = 63;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The values of a statement, to be sent in the binary protocol.
///
/// # Errors
///
/// `Encode` for a value that MySQL has no form for; names its position, never the value.
pub(crate) fn bind(args: Vec<Arg>) -> Result<Vec<Value>> {
    let bind_one = |(index, arg): (usize, Arg)| {
        bind_value(arg.value).map_err(|error| error.context(format_args!("parameter {}", index + 1)))
    };
    args.into_iter().enumerate().map(bind_one).collect()
}

fn bind_value(value: Ours) -> Result<Value> {
    let refuse = |what: &str| Err(Error::new(ErrorKind::Encode, format!("MySQL has no {what}")));
    Ok(match value {
        Ours::Null => Value::NULL,
        Ours::Bool(v) => Value::Int(v.into()),
        Ours::Int(v) => Value::Int(v),
        Ours::UInt(v) => Value::UInt(v),
        Ours::Float(v) if v.is_finite() => Value::Double(v),
        Ours::Float(_) => return refuse("NaN and no infinity"),
        Ours::Decimal(v) if v.is_finite() => Value::Bytes(v.as_str().as_bytes().to_vec()),
        Ours::Decimal(_) => return refuse("decimal NaN and no infinity"),
        Ours::Text(v) => Value::Bytes(v.into_bytes()),
        Ours::Bytes(v) => Value::Bytes(v),
        // The driver has no DATE parameter, only DATETIME, and `SELECT :v` would give that back.
        Ours::Date(v) => {
            let (year, month, day) = in_range(v)?;
            Value::Bytes(format!("{year:04}-{month:02}-{day:02}").into_bytes())
        }
        Ours::Time(v) => {
            // 24:00:00 is an hour of 24 for MySQL too.
            let (hour, minute, second, micro) = v.hms_micro();
            Value::Time(false, 0, hour, minute, second, micro)
        }
        Ours::DateTime(v) => bind_datetime(v)?,
        Ours::Timestamp(v) => bind_datetime(v.to_utc())?,
        Ours::Uuid(v) => Value::Bytes(v.to_string().into_bytes()),
        Ours::Json(v) => Value::Bytes(v.into_string().into_bytes()),
        // What was read as such is bound as such.
        Ours::Other(v) => Value::Bytes(v.bytes),
        Ours::Interval(_) => return refuse("interval type; bind a number and write INTERVAL in the statement"),
        Ours::Array(_) => return refuse("array type; use `list(..)` behind IN, or JSON"),
        _ => return refuse("form for this value"),
    })
}

fn bind_datetime(value: DateTime) -> Result<Value> {
    let (year, month, day) = in_range(value.date())?;
    let (hour, minute, second, micro) = value.time().ok_or_else(infinite)?.hms_micro();
    Ok(Value::Date(year, month, day, hour, minute, second, micro))
}

/// Year, month and day of a date that MySQL has.
fn in_range(date: Date) -> Result<(u16, u8, u8)> {
    let (year, month, day) = date.ymd().ok_or_else(infinite)?;
    match u16::try_from(year) {
        Ok(year @ 0..=9999) => Ok((year, month, day)),
        _ => Err(Error::new(ErrorKind::Encode, "MySQL has no years before 0 and after 9999")),
    }
}

fn infinite() -> Error {
    Error::new(ErrorKind::Encode, "MySQL has no infinite dates")
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellType {
    Int,
    UInt,
    Float,
    Double,
    Decimal,
    Text,
    Bytes,
    Json,
    Date,
    DateTime,
    Timestamp,
    Time,
    Bit,
    Null,
    /// A type that this crate does not know.
    Other,
}

impl CellType {
    /// By the column's type, flags and character set.
    pub(crate) fn of(column: &Column) -> Self {
        use ColumnType::*;
        let text = if column.character_set() == BINARY { Self::Bytes } else { Self::Text };
        match column.column_type() {
            MYSQL_TYPE_TINY | MYSQL_TYPE_SHORT | MYSQL_TYPE_INT24 | MYSQL_TYPE_LONG | MYSQL_TYPE_LONGLONG => {
                if column.flags().contains(ColumnFlags::UNSIGNED_FLAG) { Self::UInt } else { Self::Int }
            }
            MYSQL_TYPE_YEAR => Self::Int,
            MYSQL_TYPE_FLOAT => Self::Float,
            MYSQL_TYPE_DOUBLE => Self::Double,
            MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL => Self::Decimal,
            MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => Self::Date,
            MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => Self::DateTime,
            MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => Self::Timestamp,
            MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2 => Self::Time,
            MYSQL_TYPE_BIT => Self::Bit,
            MYSQL_TYPE_NULL => Self::Null,
            MYSQL_TYPE_JSON => Self::Json,
            MYSQL_TYPE_GEOMETRY | MYSQL_TYPE_VECTOR => Self::Bytes,
            MYSQL_TYPE_VARCHAR
            | MYSQL_TYPE_VAR_STRING
            | MYSQL_TYPE_STRING
            | MYSQL_TYPE_ENUM
            | MYSQL_TYPE_SET
            | MYSQL_TYPE_TINY_BLOB
            | MYSQL_TYPE_MEDIUM_BLOB
            | MYSQL_TYPE_LONG_BLOB
            | MYSQL_TYPE_BLOB => text,
            MYSQL_TYPE_TYPED_ARRAY | MYSQL_TYPE_UNKNOWN => Self::Other,
        }
    }
}

/// The type's name as MySQL writes it. The wire does not tell TINYTEXT, TEXT, MEDIUMTEXT and LONGTEXT apart.
pub(crate) fn type_name(column: &Column) -> String {
    use ColumnType::*;
    let flags = column.flags();
    let binary = column.character_set() == BINARY;
    let either = |bytes: &'static str, text: &'static str| if binary { bytes } else { text };
    let name = match column.column_type() {
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => "ENUM",
        _ if flags.contains(ColumnFlags::SET_FLAG) => "SET",
        MYSQL_TYPE_TINY => "TINYINT",
        MYSQL_TYPE_SHORT => "SMALLINT",
        MYSQL_TYPE_INT24 => "MEDIUMINT",
        MYSQL_TYPE_LONG => "INT",
        MYSQL_TYPE_LONGLONG => "BIGINT",
        MYSQL_TYPE_YEAR => return "YEAR".to_owned(),
        MYSQL_TYPE_FLOAT => "FLOAT",
        MYSQL_TYPE_DOUBLE => "DOUBLE",
        MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL => "DECIMAL",
        MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => "DATE",
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => "DATETIME",
        // Its flag UNSIGNED is an accident of the server.
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => return "TIMESTAMP".to_owned(),
        MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2 => "TIME",
        MYSQL_TYPE_BIT => return "BIT".to_owned(),
        MYSQL_TYPE_NULL => "NULL",
        MYSQL_TYPE_JSON => "JSON",
        MYSQL_TYPE_GEOMETRY => "GEOMETRY",
        MYSQL_TYPE_VECTOR => "VECTOR",
        MYSQL_TYPE_ENUM => "ENUM",
        MYSQL_TYPE_SET => "SET",
        MYSQL_TYPE_VARCHAR | MYSQL_TYPE_VAR_STRING => either("VARBINARY", "VARCHAR"),
        MYSQL_TYPE_STRING => either("BINARY", "CHAR"),
        MYSQL_TYPE_TINY_BLOB | MYSQL_TYPE_MEDIUM_BLOB | MYSQL_TYPE_LONG_BLOB | MYSQL_TYPE_BLOB => {
            either("BLOB", "TEXT")
        }
        MYSQL_TYPE_TYPED_ARRAY | MYSQL_TYPE_UNKNOWN => "",
    };
    let unsigned = if flags.contains(ColumnFlags::UNSIGNED_FLAG) && !name.is_empty() { " UNSIGNED" } else { "" };
    format!("{name}{unsigned}")
}

/// What `value` of a column of `kind` is.
///
/// # Errors
///
/// `Decode` for a zero date, and for text that does not have the form of its type.
pub(crate) fn cell<'a>(value: &'a Value, kind: CellType, type_name: &'a TypeName) -> Result<ValueRef<'a>> {
    match value {
        Value::NULL => Ok(ValueRef::Null),
        Value::Bytes(bytes) => bytes_cell(bytes, kind, type_name),
        // The driver gives an unsigned number as signed where it fits.
        Value::Int(v) if kind == CellType::UInt => u64::try_from(*v).map(ValueRef::UInt).map_err(|_| malformed()),
        Value::Int(v) => Ok(ValueRef::Int(*v)),
        Value::UInt(v) => Ok(ValueRef::UInt(*v)),
        Value::Float(v) => Ok(ValueRef::Float((*v).into())),
        Value::Double(v) => Ok(ValueRef::Float(*v)),
        Value::Date(year, month, day, hour, minute, second, micro) => {
            let date = date(*year, *month, *day)?;
            if kind == CellType::Date {
                return Ok(ValueRef::Date(date));
            }
            let time = Time::from_hms_micro(*hour, *minute, *second, *micro).ok_or_else(malformed)?;
            instant(date, time, kind)
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let seconds =
                i64::from(*days) * 86_400 + i64::from(*hours) * 3600 + i64::from(*minutes) * 60 + i64::from(*seconds);
            let micros = seconds * MICROS_PER_SECOND + i64::from(*micros);
            Ok(time(if *negative { -micros } else { micros }))
        }
    }
}

fn bytes_cell<'a>(bytes: &'a [u8], kind: CellType, type_name: &'a TypeName) -> Result<ValueRef<'a>> {
    fn parsed<T: std::str::FromStr>(bytes: &[u8]) -> Result<T> {
        std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)
    }
    Ok(match kind {
        CellType::Text => match std::str::from_utf8(bytes) {
            Ok(text) => ValueRef::Text(text),
            // `SELECT :v` gives a parameter of bytes back as text of the connection's character set.
            Err(_) => ValueRef::Bytes(bytes),
        },
        CellType::Bytes => ValueRef::Bytes(bytes),
        CellType::Json => ValueRef::Json(std::str::from_utf8(bytes).map_err(|_| malformed())?),
        CellType::Int => ValueRef::Int(parsed(bytes)?),
        CellType::UInt => ValueRef::UInt(parsed(bytes)?),
        // Parsed in single precision, so that both protocols give the same number.
        CellType::Float => ValueRef::Float(parsed::<f32>(bytes)?.into()),
        CellType::Double => ValueRef::Float(parsed(bytes)?),
        CellType::Decimal => ValueRef::Decimal(parsed::<Decimal>(bytes)?),
        CellType::Bit => {
            let number = bytes
                .iter()
                .try_fold(0u64, |number, byte| number.checked_mul(256).map(|number| number | u64::from(*byte)));
            ValueRef::UInt(number.ok_or_else(malformed)?)
        }
        CellType::Date => ValueRef::Date(date_text(bytes)?),
        CellType::DateTime | CellType::Timestamp => {
            let (day, rest) = bytes.split_at_checked(10).ok_or_else(malformed)?;
            let time_of_day = match rest.split_first() {
                None => Time::MIDNIGHT,
                Some((b' ', rest)) => parsed(rest)?,
                Some(_) => return Err(malformed()),
            };
            instant(date_text(day)?, time_of_day, kind)?
        }
        CellType::Time => time(time_text(bytes).ok_or_else(malformed)?),
        CellType::Null | CellType::Other => ValueRef::Other { type_name, bytes },
    })
}

fn instant<'a>(date: Date, time: Time, kind: CellType) -> Result<ValueRef<'a>> {
    let value = DateTime::new(date, time).ok_or_else(malformed)?;
    Ok(match kind {
        CellType::Timestamp => ValueRef::Timestamp(value.assume_utc()),
        _ => ValueRef::DateTime(value),
    })
}

/// A TIME: of the day where it can be one, else an interval.
fn time<'a>(micros: i64) -> ValueRef<'a> {
    match Time::from_micros(micros).filter(|_| (0..=MICROS_PER_DAY).contains(&micros)) {
        Some(time) => ValueRef::Time(time),
        None => ValueRef::Interval(Interval::new(0, 0, micros)),
    }
}

fn date(year: u16, month: u8, day: u8) -> Result<Date> {
    if month == 0 || day == 0 {
        return Err(Error::new(ErrorKind::Decode, "a zero date, which is no date")
            .with_hint("sql_mode NO_ZERO_DATE, NO_ZERO_IN_DATE; read it with CAST(… AS CHAR)"));
    }
    Date::from_ymd(year.into(), month, day).ok_or_else(malformed)
}

/// `YYYY-MM-DD`, zeros allowed so that they get their own error.
fn date_text(bytes: &[u8]) -> Result<Date> {
    let [y @ .., b'-', m1, m0, b'-', d1, d0] = bytes else { return Err(malformed()) };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0u16, |number, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            number.checked_mul(10)?.checked_add(digit.into())
        })
    };
    let small = |digits: [u8; 2]| number(&digits).and_then(|number| u8::try_from(number).ok());
    match (number(y), small([*m1, *m0]), small([*d1, *d0])) {
        (Some(year), Some(month), Some(day)) => date(year, month, day),
        _ => Err(malformed()),
    }
}

/// `[-]HHH:MM:SS[.ffffff]` in microseconds.
fn time_text(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let mut next = || parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<i64>().ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    if parts.next().is_some() || hours > 838 || minutes > 59 || seconds > 59 {
        return None;
    }
    if fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let total = (hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND + micros;
    Some(if negative { -total } else { total })
}

fn malformed() -> Error {
    Error::new(ErrorKind::Decode, "the server's value does not have the form of its type")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: ColumnType) -> Column {
        Column::new(kind).with_character_set(45)
    }

    #[test]
    fn character_set_and_flags_decide_the_type() {
        use ColumnType::*;
        let unsigned = column(MYSQL_TYPE_LONGLONG).with_flags(ColumnFlags::UNSIGNED_FLAG);
        let enumeration = column(MYSQL_TYPE_STRING).with_flags(ColumnFlags::ENUM_FLAG);
        for (column, cell, name) in [
            (column(MYSQL_TYPE_LONG), CellType::Int, "INT"),
            (unsigned, CellType::UInt, "BIGINT UNSIGNED"),
            (column(MYSQL_TYPE_VAR_STRING), CellType::Text, "VARCHAR"),
            (column(MYSQL_TYPE_VAR_STRING).with_character_set(63), CellType::Bytes, "VARBINARY"),
            (column(MYSQL_TYPE_BLOB), CellType::Text, "TEXT"),
            (column(MYSQL_TYPE_BLOB).with_character_set(63), CellType::Bytes, "BLOB"),
            (column(MYSQL_TYPE_JSON).with_character_set(63), CellType::Json, "JSON"),
            (column(MYSQL_TYPE_GEOMETRY), CellType::Bytes, "GEOMETRY"),
            (enumeration, CellType::Text, "ENUM"),
        ] {
            assert_eq!((CellType::of(&column), type_name(&column).as_str()), (cell, name));
        }
    }

    #[test]
    fn text_and_binary_cells_read_alike() {
        let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let day = Value::Date(2026, 11, 21, 0, 0, 0, 0);
        let moment = Value::Date(2026, 11, 21, 4, 5, 6, 70);
        for (kind, text, binary) in [
            (CellType::Int, "-7", Value::Int(-7)),
            (CellType::UInt, "18446744073709551615", Value::UInt(u64::MAX)),
            (CellType::Float, "0.1", Value::Float(0.1)),
            (CellType::Double, "0.1", Value::Double(0.1)),
            (CellType::Date, "2026-11-21", day),
            (CellType::DateTime, "2026-11-21 04:05:06.000070", moment.clone()),
            (CellType::Timestamp, "2026-11-21 04:05:06.000070", moment),
            (CellType::Time, "23:59:59.5", Value::Time(false, 0, 23, 59, 59, 500_000)),
            (CellType::Time, "-838:59:59", Value::Time(true, 34, 22, 59, 59, 0)),
            (CellType::Time, "24:00:00", Value::Time(false, 1, 0, 0, 0, 0)),
        ] {
            let text = bytes(text);
            assert!(cell(&text, kind, &"".into()).unwrap() == cell(&binary, kind, &"".into()).unwrap(), "{kind:?}");
        }
        assert!(
            cell(&bytes("12.50"), CellType::Decimal, &"".into()).unwrap()
                == ValueRef::Decimal("12.50".parse().unwrap())
        );
        assert!(cell(&Value::Bytes(vec![1, 0]), CellType::Bit, &"".into()).unwrap() == ValueRef::UInt(256));
        assert!(cell(&Value::Bytes(vec![0xff]), CellType::Text, &"".into()).unwrap() == ValueRef::Bytes(&[0xff]));
    }

    #[test]
    fn zero_dates_and_malformed_text_are_errors() {
        for value in
            [Value::Date(0, 0, 0, 0, 0, 0, 0), Value::Date(2026, 2, 0, 0, 0, 0, 0), Value::Bytes(b"0000-00-00".into())]
        {
            let error = cell(&value, CellType::Date, &"".into()).unwrap_err();
            assert!(error.kind() == ErrorKind::Decode && error.to_string().contains("zero date"), "{error}");
        }
        for (kind, text) in [
            (CellType::Int, "1.5"),
            (CellType::UInt, "-1"),
            (CellType::Date, "2026-02-30"),
            (CellType::Date, "26-2"),
            (CellType::DateTime, "2026-01-01T00:00:00"),
            (CellType::Time, "1:60:00"),
            (CellType::Time, "999:00:00"),
            (CellType::Decimal, "x"),
            (CellType::Bit, "123456789"),
        ] {
            assert!(cell(&Value::Bytes(text.into()), kind, &"".into()).is_err(), "{kind:?} {text}");
        }
    }

    #[test]
    fn values_without_a_form_in_mysql_are_refused() {
        let far = "12345-01-01".parse::<Date>();
        let mut values = vec![
            Ours::Float(f64::NAN),
            Ours::Float(f64::INFINITY),
            Ours::Decimal(Decimal::nan()),
            Ours::Interval(Interval::new(1, 0, 0)),
        ];
        values.extend(far.ok().map(Ours::Date));
        for value in values {
            let kind = value.kind();
            let error = bind(vec![Arg { value, kind }]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            assert!(error.to_string().starts_with("parameter 1: MySQL has no"), "{error}");
        }
    }
}
