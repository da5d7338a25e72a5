//! Feature `json`: [`serde_json::Value`], and [`Json`] for every type that serde reads and writes.
//!
//! A cell is read from its text. On SQLite, where a column declared `JSON` has the affinity of numbers, a JSON number
//! may come back as an integer or a double, and is read all the same; declare the column `TEXT` to keep long ones.
//! Errors never hold what serde says, since that repeats values.

use std::borrow::Cow;

use serde_core::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use super::convert::{ConversionError, refused, unfit};
use crate::error::{Error, Result};
use crate::misfit::mismatch;
use crate::types::{Decimal, JsonText};
use crate::value::{FromValue, IntoValue, Value, ValueKind, ValueRef};

const VALUE: &str = "serde_json::Value";

/// A Rust value that is JSON in the database: `Json(&settings)` as a parameter, `Json<Settings>` as a cell.
///
/// Needs the feature `json`. What cannot be written as JSON (a map whose keys are not text) is an error when it is bound;
/// `JsonText::try_from(&json)` tells beforehand. As everywhere with serde_json, NaN and the infinities are written as
/// `null`. JSON's `null` is `Json<Option<T>>`, SQL's NULL is `Option<Json<T>>`.
///
/// # Examples
///
/// ```
/// use databases_core::{FromValue, IntoValue, Json, ValueRef};
///
/// let cell = ValueRef::Json("[1, 2, 3]");
/// let Json(numbers) = Json::<Vec<u8>>::from_value(cell)?;
/// assert_eq!(numbers, [1, 2, 3]);
/// let parameter = Json(&numbers).into_value();
/// # let _ = parameter;
/// # Ok::<(), databases_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

impl<T> Json<T> {
    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Serialize> IntoValue for Json<T> {
    const KIND: ValueKind = ValueKind::Json;

    fn into_value(self) -> Value {
        JsonText::try_from(&self).map_or_else(refused, Value::Json)
    }
}

impl<T: DeserializeOwned + Send> FromValue for Json<T> {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let text = text(&value).ok_or_else(|| mismatch::<Self>(&value))?;
        parse(&text, std::any::type_name::<T>()).map(Self)
    }
}

/// Fails if serde cannot write the value as JSON. Feature `json`.
impl<T: Serialize> TryFrom<&Json<T>> for JsonText {
    type Error = ConversionError;

    fn try_from(value: &Json<T>) -> Result<Self, ConversionError> {
        let unwritable = ConversionError::new("a value that has no form in JSON", "types::JsonText");
        serde_json::to_string(&value.0).map(Self::new).map_err(|_| unwritable)
    }
}

/// Fails for what is not JSON or not of this shape. Feature `json`.
impl<T: DeserializeOwned> TryFrom<JsonText> for Json<T> {
    type Error = ConversionError;

    fn try_from(text: JsonText) -> Result<Self, ConversionError> {
        serde_json::from_str(text.as_str()).map(Self).map_err(|error| class(&error, std::any::type_name::<T>()))
    }
}

impl IntoValue for serde_json::Value {
    const KIND: ValueKind = ValueKind::Json;

    fn into_value(self) -> Value {
        Value::Json(self.into())
    }
}

// Numbers are exact: one that serde_json would round is refused.
impl FromValue for serde_json::Value {
    fn from_value(value: ValueRef<'_>) -> Result<Self> {
        let text = text(&value).ok_or_else(|| unfit(value.describe(), value.is_null(), VALUE))?;
        let parsed = parse(&text, VALUE)?;
        if numbers_are_kept(&text) {
            return Ok(parsed);
        }
        Err(Error::from(INEXACT).with_hint("ask for types::JsonText, or for Json<T> with a type that keeps the digits"))
    }
}

const INEXACT: ConversionError = ConversionError::new("json with a number that is rounded as a double", VALUE);

/// The value's text. Feature `json`.
impl From<serde_json::Value> for JsonText {
    fn from(value: serde_json::Value) -> Self {
        Self::new(value.to_string())
    }
}

/// Fails for what is not JSON, and for a number that serde_json would round. Feature `json`.
impl TryFrom<JsonText> for serde_json::Value {
    type Error = ConversionError;

    fn try_from(text: JsonText) -> Result<Self, ConversionError> {
        let parsed = serde_json::from_str(text.as_str()).map_err(|error| class(&error, VALUE))?;
        if numbers_are_kept(text.as_str()) { Ok(parsed) } else { Err(INEXACT) }
    }
}

/// The JSON text of a cell.
fn text<'a>(value: &ValueRef<'a>) -> Option<Cow<'a, str>> {
    match value {
        ValueRef::Json(text) | ValueRef::Text(text) => Some(Cow::Borrowed(text)),
        // What SQLite makes of a number in a column declared JSON.
        ValueRef::Int(number) => Some(number.to_string().into()),
        ValueRef::UInt(number) => Some(number.to_string().into()),
        ValueRef::Float(number) => Some(serde_json::Number::from_f64(*number)?.to_string().into()),
        _ => None,
    }
}

fn parse<T: DeserializeOwned>(text: &str, wanted: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("at line {}, column {} of the json", error.line(), error.column());
        Error::from(class(&error, wanted)).with_hint(place)
    })
}

/// The class of what serde_json refused. Its own words repeat the value.
fn class(error: &serde_json::Error, wanted: &'static str) -> ConversionError {
    ConversionError::new(
        match error.classify() {
            Category::Data => "json of another shape",
            Category::Syntax | Category::Eof | Category::Io => {
                "text that is not json, or not within serde_json's limits,"
            }
        },
        wanted,
    )
}

/// Tells whether serde_json keeps each number of `text`, which it has parsed: it makes doubles of all that are not
/// integers of 64 bits, unless some crate of the build switches on its feature `arbitrary_precision`.
fn numbers_are_kept(text: &str) -> bool {
    let is_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = after_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|&byte| !is_number(byte)).map_or(bytes.len(), |len| at + len);
                if !number_is_kept(&text[at..end]) {
                    return false;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    true
}

/// Where the string ends whose content starts at `at`.
fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn number_is_kept(text: &str) -> bool {
    // A double keeps 15 digits.
    if text.len() <= 15 && !text.contains(['e', 'E']) {
        return true;
    }
    let Ok(number) = serde_json::from_str::<serde_json::Number>(text) else { return false };
    let kept = number.to_string();
    kept == text || matches!((kept.parse::<Decimal>(), text.parse::<Decimal>()), (Ok(kept), Ok(given)) if kept == given)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::convert::testing::{assert_unbindable, back, refusal};
    use super::*;

    fn read(text: &str) -> Result<serde_json::Value> {
        serde_json::Value::from_value(ValueRef::Json(text))
    }

    #[test]
    fn values_are_kept() {
        for value in [
            json!(null),
            json!(true),
            json!([]),
            json!({ "a": [1, -1, 1.5, "x\"\\\u{1f600}", null], "b": {} }),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(0.1 + 0.2),
            json!(f64::MAX),
            json!(f64::MIN_POSITIVE),
        ] {
            assert_eq!(back(value.clone()), value);
            assert_eq!(serde_json::Value::try_from(JsonText::from(value.clone())), Ok(value));
        }
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        for text in [
            "3.14159265358979323846",
            "[0, {\"a\": 18446744073709551616}]",
            "-9223372036854775809",
            "1e-400",
            "123456789.123456789e-5",
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                "json with a number that is rounded as a double cannot be read as serde_json::Value"
            );
            assert!(serde_json::Value::try_from(JsonText::new(text)).is_err());
        }
        for text in [
            "18446744073709551615",
            "1e3",
            "-0.0",
            "-0",
            "1.50000000000000000000",
            "0.30000000000000004",
            "1e22",
            "\"3.14159265358979323846\"",
            "\"\\\"3.14159265358979323846\"",
            "{\"3.14159265358979323846\\\\\": 1}",
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_wrapped_type_is_written_and_read() {
        let prices = Json(BTreeMap::from([("a".to_owned(), Some(1.5)), ("b".to_owned(), None)]));
        assert_eq!(back(prices.clone()), prices);
        assert_eq!(Json(&prices.0).into_value(), Value::Json(JsonText::new(r#"{"a":1.5,"b":null}"#)));
        assert_eq!(Json::<Option<u8>>::from_value(ValueRef::Json("null")).unwrap(), Json(None));
        assert_eq!(Option::<Json<u8>>::from_value(ValueRef::Null).unwrap(), None);
        assert_eq!(<Option<Json<Vec<u8>>> as IntoValue>::KIND, ValueKind::Json);
        assert_eq!(None::<serde_json::Value>.into_value(), Value::Null);
        assert_eq!(Json::from(5).into_inner(), 5);
    }

    #[test]
    fn numbers_of_a_column_declared_json_on_sqlite_are_read() {
        assert_eq!(serde_json::Value::from_value(ValueRef::Int(-5)).unwrap(), json!(-5));
        assert_eq!(serde_json::Value::from_value(ValueRef::Float(1.5)).unwrap(), json!(1.5));
        assert_eq!(Json::<u64>::from_value(ValueRef::UInt(u64::MAX)).unwrap(), Json(u64::MAX));
        assert_eq!(
            refusal::<serde_json::Value>(ValueRef::Float(f64::INFINITY)),
            "a floating point number cannot be read as serde_json::Value"
        );
    }

    #[test]
    fn errors_name_the_class_and_never_the_value() {
        let wrong = Json::<u8>::from_value(ValueRef::Json("\"hunter2\"")).unwrap_err();
        assert_eq!(wrong.to_string(), "json of another shape cannot be read as u8");
        assert_eq!(wrong.hint(), Some("at line 1, column 9 of the json"));
        assert!(!format!("{wrong:?} {wrong:#?}").contains("hunter2"));
        assert!(refusal::<serde_json::Value>(ValueRef::Text("hunter2")).starts_with("text that is not json"));
        assert!(refusal::<serde_json::Value>(ValueRef::Text(&"[".repeat(1000))).starts_with("text that is not json"));
        assert_eq!(refusal::<Json<u8>>(ValueRef::Null), "NULL cannot be read as Json<u8>");
        assert_eq!(refusal::<serde_json::Value>(ValueRef::Bytes(b"1")), "bytes cannot be read as serde_json::Value");
    }

    #[test]
    fn what_serde_cannot_write_is_unbindable() {
        let keyed = Json(BTreeMap::from([((1, 2), 3)]));
        assert_eq!(JsonText::try_from(&keyed).unwrap_err().found(), "a value that has no form in JSON");
        assert_unbindable(keyed);
    }

    proptest! {
        #[test]
        fn doubles_and_texts_round_trip(bits: u64, text in "\\PC*", number: i64) {
            let double = f64::from_bits(bits);
            let double = if double.is_finite() { double } else { 0.5 };
            for value in [json!(double), json!({ text.clone(): [text, number] })] {
                prop_assert_eq!(back(value.clone()), value);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[\\[\\]{}\",:\\\\0-9.eE+-]{0,40}") {
            let _ = (read(&text), read(&near), numbers_are_kept(&text), numbers_are_kept(&near));
        }

        #[test]
        fn a_number_is_kept_or_refused(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?") {
            if let Ok(value) = read(&text) {
                prop_assert_eq!(value.to_string().parse::<Decimal>(), text.parse::<Decimal>());
            }
        }
    }
}
