//! `derive(FromValue)` and `derive(IntoValue)`.

use std::marker::PhantomData;

use databases::{
    Error, ErrorKind, Executor, FromRow, FromValue, IntoValue, Params, Result, Value, ValueKind, ValueRef, list, params,
};

use crate::{error, memory};

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromValue, IntoValue)]
struct UserId(i64);

#[derive(Clone, Debug, PartialEq, FromValue, IntoValue)]
struct Email {
    address: Option<String>,
}

#[derive(Debug, FromValue, IntoValue)]
struct Id<T, K = i32> {
    #[databases(skip)]
    of: PhantomData<fn() -> T>,
    key: K,
}

#[derive(Clone, IntoValue)]
struct Name<'a>(&'a str);

#[derive(Clone, Copy, Debug, PartialEq, FromValue, IntoValue)]
#[databases(rename_all = "snake_case")]
enum Mood {
    Sad,
    VeryHappy,
    #[databases(rename = "ok {}")]
    Fine,
    r#Self_,
}

#[derive(Clone, Copy, Debug, PartialEq, FromValue, IntoValue)]
enum Plain {
    Single,
}

#[derive(Clone, Copy, Debug, PartialEq, FromValue, IntoValue)]
#[databases(repr = "i16")]
enum Level {
    Low,
    Middle = Level::STEP,
    High,
    Under = -1,
}

impl Level {
    const STEP: isize = 10;
}

#[derive(Clone, Copy, Debug, PartialEq, FromValue, IntoValue)]
#[databases(repr = "u64")]
#[repr(u64)]
enum Wide {
    Min = 0,
    Max = u64::MAX,
}

const _: () = {
    assert!(matches!(UserId::KIND, ValueKind::Int));
    assert!(matches!(Email::KIND, ValueKind::Text));
    assert!(matches!(Id::<String>::KIND, ValueKind::Int32));
    assert!(matches!(Name::KIND, ValueKind::Text));
    assert!(matches!(<&Mood>::KIND, ValueKind::Text));
    assert!(matches!(Level::KIND, ValueKind::Int16));
    assert!(matches!(Wide::KIND, ValueKind::UInt));
};

async fn round_trip<T: FromValue + IntoValue + Clone + Sync>(value: &T) -> Result<T> {
    memory().await?.fetch_val("SELECT :value", params! { value }).await
}

#[tokio::test]
async fn newtypes_are_what_they_hold() -> Result<()> {
    assert_eq!(round_trip(&UserId(7)).await?, UserId(7));
    assert_eq!(round_trip(&Some(UserId(7))).await?, Some(UserId(7)));
    assert_eq!(round_trip(&None::<UserId>).await?, None);
    for email in [Email { address: None }, Email { address: Some("a".to_owned()) }] {
        assert_eq!(round_trip(&email).await?, email);
    }
    struct NeitherSendNorDefault(#[expect(dead_code, reason = "a tag")] std::rc::Rc<()>);
    let id = Id::<NeitherSendNorDefault> { of: PhantomData, key: 5 };
    assert_eq!(id.into_value(), Value::Int(5));
    assert_eq!(Id::<NeitherSendNorDefault>::from_value(ValueRef::Int(6))?.key, 6);
    assert_eq!(Name("a").into_value(), Value::Text("a".to_owned()));
    let mismatch = UserId::from_value(ValueRef::Text("secret")).unwrap_err();
    assert_eq!(mismatch.to_string(), "this text does not have the form of i64");
    Ok(())
}

#[tokio::test]
async fn newtypes_and_enums_are_parameters_columns_and_items_of_lists() -> Result<()> {
    #[derive(Debug, PartialEq, FromRow, Params)]
    struct User {
        id: UserId,
        mood: Mood,
        level: Option<Level>,
    }
    let db = memory().await?;
    db.execute("CREATE TABLE users (id INTEGER, mood TEXT, level INTEGER)", ()).await?;
    let users = [(1, Mood::Sad, None), (2, Mood::VeryHappy, Some(Level::High)), (3, Mood::Fine, Some(Level::Under))];
    let users = users.map(|(id, mood, level)| User { id: UserId(id), mood, level });
    db.execute_many("INSERT INTO users VALUES (:id, :mood, :level)", users.iter()).await?;
    assert_eq!(db.fetch_all::<User>("SELECT * FROM users ORDER BY id", ()).await?, users);
    let stored: Vec<(String, Option<i64>)> = db.fetch_all("SELECT mood, level FROM users ORDER BY id", ()).await?;
    let expected = [("sad", None), ("very_happy", Some(11)), ("ok {}", Some(-1))];
    assert_eq!(stored, expected.map(|(mood, level)| (mood.to_owned(), level)));
    let sql = "SELECT count(*) FROM users WHERE id IN (:ids) AND mood IN (:moods)";
    let params = params! { ids: list([UserId(1), UserId(2)]), moods: list([Mood::VeryHappy, Mood::Fine].iter()) };
    assert_eq!(db.fetch_val::<i64>(sql, params).await?, 1);
    Ok(())
}

#[tokio::test]
async fn every_variant_comes_back() -> Result<()> {
    for (mood, text) in
        [(Mood::Sad, "sad"), (Mood::VeryHappy, "very_happy"), (Mood::Fine, "ok {}"), (Mood::Self_, "self")]
    {
        assert_eq!(mood.into_value(), Value::Text(text.to_owned()));
        assert_eq!(round_trip(&mood).await?, mood);
    }
    for (level, number) in [(Level::Low, 0), (Level::Middle, 10), (Level::High, 11), (Level::Under, -1)] {
        assert_eq!(level.into_value(), Value::Int(number));
        assert_eq!(round_trip(&level).await?, level);
    }
    for wide in [Wide::Min, Wide::Max] {
        assert_eq!(Wide::from_value(wide.into_value().as_ref())?, wide);
    }
    assert_eq!(Wide::Max.into_value(), Value::UInt(u64::MAX));
    assert_eq!(round_trip(&Plain::Single).await?, Plain::Single);
    Ok(())
}

#[tokio::test]
async fn an_unknown_value_is_an_error_that_lists_the_known_and_repeats_none() {
    let unknown = "column `mood`: unknown value for enum Mood; known: `sad`, `very_happy`, `ok {}`, `self`";
    assert_eq!(error::<(Mood,)>("SELECT 's3cret' AS mood").await.to_string(), unknown);
    // Texts are compared as they are.
    assert_eq!(error::<(Mood,)>("SELECT 'Sad' AS mood").await.to_string(), unknown);
    assert_eq!(
        error::<(Level,)>("SELECT 1234 AS level").await.to_string(),
        "column `level`: unknown value for enum Level; known: `0`, `10`, `11`, `-1`"
    );
    assert_eq!(
        error::<(Level,)>("SELECT 70000 AS level").await.to_string(),
        "column `level`: an integer is out of range for i16"
    );
    assert_eq!(
        error::<(Level,)>("SELECT 'x' AS level").await.to_string(),
        "column `level`: this text does not have the form of i16"
    );
    assert_eq!(
        error::<(Mood,)>("SELECT 1 AS mood").await.to_string(),
        "column `mood`: an integer cannot be read as Mood"
    );
    let null: Error = error::<(Mood,)>("SELECT NULL AS mood").await;
    assert_eq!(null.to_string(), "column `mood`: NULL cannot be read as Mood");
    assert_eq!((null.kind(), null.hint()), (ErrorKind::Decode, Some("ask for Option<Mood>")));
}

#[derive(Clone, Debug, PartialEq, FromValue, IntoValue)]
#[databases(composite)]
struct Point<T> {
    x: T,
    r#type: Option<String>,
    #[databases(skip)]
    of: PhantomData<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, FromValue, IntoValue)]
#[databases(composite)]
struct Pair(i32, Mood);

#[test]
fn composite_structs_are_records_field_by_field() -> Result<()> {
    const _: () = assert!(matches!(Pair::KIND, ValueKind::Array));
    let point = Point { x: 1_i16, r#type: None, of: PhantomData };
    let value = point.clone().into_value();
    let Value::Array(record) = &value else { panic!("a record") };
    assert_eq!(record.items(), [Value::Int(1), Value::Null]);
    assert_eq!(record.shape(), databases::ArrayShape::Record);
    assert_eq!(Point::from_value(value.as_ref())?, point);
    let pairs = vec![Pair(1, Mood::Sad), Pair(2, Mood::Fine)];
    assert_eq!(Vec::<Pair>::from_value(pairs.clone().into_value().as_ref())?, pairs);
    assert_eq!(Option::<Pair>::from_value(ValueRef::Null)?, None);

    let wide = Point { x: 70_000_i64, r#type: None, of: PhantomData }.into_value();
    for (error, message) in [
        (Point::<i16>::from_value(wide.as_ref()).map(drop), "field `x`: an integer is out of range for i16"),
        (Pair::from_value(wide.as_ref()).map(drop), "field `1`: NULL cannot be read as Mood"),
        (Pair::from_value(ValueRef::Int(1)).map(drop), "an integer cannot be read as Pair"),
        (Pair::from_value(vec![1].into_value().as_ref()).map(drop), "an array cannot be read as Pair"),
    ] {
        assert_eq!(error.unwrap_err().to_string(), message);
    }
    let single = databases::Array::record(vec![Value::Int(1)]);
    let error = Pair::from_value(Value::Array(Box::new(single)).as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "a record of 1 fields cannot be read as Pair, which has 2");
    Ok(())
}
