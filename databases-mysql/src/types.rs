//! Values in both directions: what is bound, and what a cell is.
//!
//! Cells come in two forms: the binary protocol has typed values, the text protocol (statements that cannot be
//! prepared) has text for everything, which is read by the column's type. In that text the server rounds a FLOAT to six
//! digits, which nobody can undo.

use databases_core::types::{Date, DateTime, Decimal, Interval, Time};
use databases_core::{Arg, Array, ArrayShape, Error, ErrorKind, Result, TypeName, Value as Ours, ValueRef};
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column, Value};

use crate::options::ZeroDates;

/// The character set of bytes.
const BINARY: u16 = 63;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// 838:59:59, the end of TIME on MySQL.
/// <https://dev.mysql.com/doc/refman/9.4/en/time.html>
const LAST_TIME: i64 = (838 * 3600 + 59 * 60 + 59) * MICROS_PER_SECOND;
/// MariaDB's TIME ends a second less a microsecond later.
/// <https://mariadb.com/docs/server/reference/data-types/date-and-time-data-types/time>
const LAST_TIME_OF_MARIADB: i64 = LAST_TIME + MICROS_PER_SECOND - 1;

/// The values of a statement, to be sent in the binary protocol.
///
/// # Errors
///
/// `Encode` for a value that MySQL has no form for; names its position, never the value.
pub(crate) fn bind(args: Vec<Arg>, is_mysql: bool) -> Result<Vec<Value>> {
    args.into_iter().enumerate().map(|(index, arg)| bind_one(arg.value, index, is_mysql)).collect()
}

/// The value of the parameter of this index, as [`bind`].
#[inline]
pub(crate) fn bind_one(value: Ours, index: usize, is_mysql: bool) -> Result<Value> {
    let last_time = if is_mysql { LAST_TIME } else { LAST_TIME_OF_MARIADB };
    bind_value(value, last_time).map_err(|error| error.context(format_args!("parameter {}", index + 1)))
}

#[inline]
fn bind_value(value: Ours, last_time: i64) -> Result<Value> {
    Ok(match value {
        Ours::Null => Value::NULL,
        Ours::Bool(v) => Value::Int(v.into()),
        Ours::Int(v) => Value::Int(v),
        Ours::UInt(v) => Value::UInt(v),
        Ours::Float(v) if v.is_finite() => Value::Double(v),
        Ours::Float(_) => return Err(no_form("NaN and no infinity", NUMBER_HINT)),
        Ours::Decimal(v) if v.is_finite() => Value::Bytes(v.as_str().as_bytes().to_vec()),
        Ours::Decimal(_) => return Err(no_form("decimal NaN and no infinity", NUMBER_HINT)),
        Ours::Text(v) => Value::Bytes(v.into_bytes()),
        Ours::Bytes(v) => Value::Bytes(v),
        // The driver has no DATE parameter, only DATETIME, and `SELECT :v` would give that back.
        Ours::Date(v) => {
            let (year, month, day) = in_range(v)?;
            Value::Bytes(format!("{year:04}-{month:02}-{day:02}").into_bytes())
        }
        // 24:00:00 is a day for MySQL too.
        Ours::Time(v) => bind_time(v.micros()),
        Ours::Interval(v) => bind_time(span(v, last_time)?),
        Ours::DateTime(v) => bind_datetime(v)?,
        Ours::Timestamp(v) => bind_datetime(v.to_utc())?,
        Ours::Uuid(v) => Value::Bytes(v.to_string().into_bytes()),
        Ours::Json(v) => Value::Bytes(v.into_string().into_bytes()),
        // What was read as such is bound as such.
        Ours::Other(v) => Value::Bytes(v.bytes),
        Ours::Array(v) => return Err(no_arrays(&v)),
        _ => return Err(no_form("form for this value", "bind text or bytes")),
    })
}

const NUMBER_HINT: &str = "bind NULL, or text";

fn no_form(what: &str, hint: &'static str) -> Error {
    Error::new(ErrorKind::Encode, format!("MySQL has no {what}")).with_hint(hint)
}

fn no_arrays(array: &Array) -> Error {
    match array.shape() {
        ArrayShape::Range { .. } | ArrayShape::EmptyRange => no_form("ranges", "bind the bounds one by one"),
        ArrayShape::Record | ArrayShape::Tuple => no_form("records", "bind the fields one by one, or JSON"),
        ArrayShape::Map => no_form("maps", "bind JSON"),
        _ => no_form("arrays", "use list(..) where a list is meant, as in IN (:ids), or bind JSON"),
    }
}

/// The microseconds of a span of time that a TIME holds.
fn span(value: Interval, last_time: i64) -> Result<i64> {
    if !value.is_finite() {
        return Err(no_form("infinite spans of time", "bind NULL"));
    }
    if value.months != 0 {
        let hint = "bind a number and write INTERVAL :n MONTH in the statement, or the span's text for a text column";
        return Err(no_form("spans of months, only TIME", hint));
    }
    if value.days != 0 {
        let hint = "bind hours where a day is to be 24 of them, or the span's text for a text column";
        return Err(no_form("spans of days, only TIME", hint));
    }
    if !(-last_time..=last_time).contains(&value.micros) {
        return Err(no_form("spans of time beyond 838:59:59", "bind a number of seconds"));
    }
    Ok(value.micros)
}

#[expect(clippy::cast_possible_truncation, reason = "remainders, and the most microseconds are 106,751,991 days")]
fn bind_time(micros: i64) -> Value {
    let span = micros.unsigned_abs();
    let (seconds, micro) = (span / 1_000_000, (span % 1_000_000) as u32);
    let [hour, minute, second] = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map(|part| part as u8);
    Value::Time(micros < 0, (seconds / 86_400) as u32, hour, minute, second, micro)
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
        // The server takes most days of a year 0, and counts some of them wrongly: it has no 0000-02-29.
        Ok(year @ 1..=9999) => Ok((year, month, day)),
        _ => Err(no_form("years before 1 and after 9999", "bind NULL, or text")),
    }
}

fn infinite() -> Error {
    no_form("infinite dates", "bind NULL")
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
/// `Decode` for a zero date unless `zero_dates` says otherwise, and for text that does not have the form of its type.
pub(crate) fn cell<'a>(
    value: &'a Value,
    kind: CellType,
    type_name: &'a TypeName,
    zero_dates: ZeroDates,
) -> Result<ValueRef<'a>> {
    match value {
        Value::NULL => Ok(ValueRef::Null),
        Value::Bytes(bytes) => bytes_cell(bytes, kind, type_name, zero_dates),
        // The driver gives an unsigned number as signed where it fits.
        Value::Int(v) if kind == CellType::UInt => u64::try_from(*v).map(ValueRef::UInt).map_err(|_| malformed()),
        Value::Int(v) => Ok(ValueRef::Int(*v)),
        Value::UInt(v) => Ok(ValueRef::UInt(*v)),
        Value::Float(v) => Ok(ValueRef::Float((*v).into())),
        Value::Double(v) => Ok(ValueRef::Float(*v)),
        Value::Date(year, month, day, hour, minute, second, micro) => {
            let time = || Time::from_hms_micro(*hour, *minute, *second, *micro).ok_or_else(malformed);
            day_cell((*year, *month, *day), time, kind, zero_dates)
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let seconds =
                i64::from(*days) * 86_400 + i64::from(*hours) * 3600 + i64::from(*minutes) * 60 + i64::from(*seconds);
            let micros = seconds.checked_mul(MICROS_PER_SECOND).and_then(|whole| whole.checked_add((*micros).into()));
            let micros = micros.ok_or_else(malformed)?;
            Ok(time(if *negative { -micros } else { micros }))
        }
    }
}

/// As [`cell`], of bytes that are no value of the driver's any more.
pub(crate) fn bytes_cell<'a>(
    bytes: &'a [u8],
    kind: CellType,
    type_name: &'a TypeName,
    zero_dates: ZeroDates,
) -> Result<ValueRef<'a>> {
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
        // The server writes no exponents, and a few bytes with one would take up a hundred thousand.
        CellType::Decimal if bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-')) => {
            ValueRef::Decimal(parsed::<Decimal>(bytes)?)
        }
        CellType::Decimal => return Err(malformed()),
        CellType::Bit => {
            let number = bytes
                .iter()
                .try_fold(0u64, |number, byte| number.checked_mul(256).map(|number| number | u64::from(*byte)));
            ValueRef::UInt(number.ok_or_else(malformed)?)
        }
        CellType::Date | CellType::DateTime | CellType::Timestamp => {
            let (day, rest) = bytes.split_at_checked(10).ok_or_else(malformed)?;
            let fields = date_fields(day).ok_or_else(malformed)?;
            let time_of_day = || match rest.split_first() {
                None => Ok(Time::MIDNIGHT),
                Some((b' ', rest)) if kind != CellType::Date => parsed(rest),
                Some(_) => Err(malformed()),
            };
            day_cell(fields, time_of_day, kind, zero_dates)?
        }
        CellType::Time => time(time_text(bytes).ok_or_else(malformed)?),
        CellType::Null | CellType::Other => ValueRef::Other { type_name, bytes, is_text: false },
    })
}

/// A DATE, DATETIME or TIMESTAMP of these fields.
fn day_cell<'a>(
    (year, month, day): (u16, u8, u8),
    time: impl FnOnce() -> Result<Time>,
    kind: CellType,
    zero_dates: ZeroDates,
) -> Result<ValueRef<'a>> {
    if month == 0 || day == 0 {
        return match zero_dates {
            ZeroDates::Null => Ok(ValueRef::Null),
            ZeroDates::Error => Err(zero_date()),
        };
    }
    let (date, time) = (Date::from_ymd(year.into(), month, day).ok_or_else(malformed)?, time()?);
    let both = || DateTime::new(date, time).ok_or_else(malformed);
    Ok(match kind {
        CellType::Date => ValueRef::Date(date),
        CellType::Timestamp => ValueRef::Timestamp(both()?.assume_utc()),
        _ => ValueRef::DateTime(both()?),
    })
}

#[cold]
fn zero_date() -> Error {
    Error::new(ErrorKind::Decode, "a zero date, which is no date")
        .with_hint("zero_dates=null in the URL reads it as NULL; CAST(… AS CHAR) gives its text")
}

/// A TIME: of the day where it can be one, else an interval.
fn time<'a>(micros: i64) -> ValueRef<'a> {
    match Time::from_micros(micros) {
        Some(time) => ValueRef::Time(time),
        None => ValueRef::Interval(Interval::new(0, 0, micros)),
    }
}

/// `YYYY-MM-DD`, in which anything may be zero.
fn date_fields(text: &[u8]) -> Option<(u16, u8, u8)> {
    let [y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0] = text else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_u16, |number, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            Some(number * 10 + u16::from(digit))
        })
    };
    let small = |digits: &[u8]| number(digits).and_then(|number| u8::try_from(number).ok());
    Some((number(&[*y3, *y2, *y1, *y0])?, small(&[*m1, *m0])?, small(&[*d1, *d0])?))
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

    fn read(value: &Value, kind: CellType) -> Result<Ours> {
        cell(value, kind, &"".into(), ZeroDates::Error).map(ValueRef::to_value)
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
            assert!(read(&text, kind).unwrap() == read(&binary, kind).unwrap(), "{kind:?}");
        }
        assert!(read(&bytes("12.50"), CellType::Decimal).unwrap() == Ours::Decimal("12.50".parse().unwrap()));
        assert!(read(&Value::Bytes(vec![1, 0]), CellType::Bit).unwrap() == Ours::UInt(256));
        assert!(read(&Value::Bytes(vec![0xff]), CellType::Text).unwrap() == Ours::Bytes(vec![0xff]));
    }

    #[test]
    fn zero_dates_and_malformed_text_are_errors() {
        for value in
            [Value::Date(0, 0, 0, 0, 0, 0, 0), Value::Date(2026, 2, 0, 0, 0, 0, 0), Value::Bytes(b"0000-00-00".into())]
        {
            let error = read(&value, CellType::Date).unwrap_err();
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
            assert!(read(&Value::Bytes(text.into()), kind).is_err(), "{kind:?} {text}");
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
            Ours::Interval(Interval::new(0, 1, -86_400_000_000)),
        ];
        values.extend(far.ok().map(Ours::Date));
        for value in values {
            let kind = value.kind();
            let error = bind(vec![Arg { value, kind }], true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            assert!(error.to_string().starts_with("parameter 1: MySQL has no"), "{error}");
        }
    }
}
