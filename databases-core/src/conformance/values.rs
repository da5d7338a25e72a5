//! Values that no column gives a type, and conversions on the way out.

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::sql::DialectKind;
use crate::types::{Date, DateTime, Decimal, JsonText, Time, Timestamp, Uuid};
use crate::value::{FromValue, IntoValue, Value};

/// `SELECT :v` read as the type that was bound.
async fn echo<T>(f: &Fixture, value: T) -> Result<()>
where
    T: IntoValue + FromValue + Clone + PartialEq + std::fmt::Debug,
{
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let read: T = db.fetch_val("SELECT :v", crate::Params::new().with("v", value.clone())).await?;
    assert_eq!(read, value);
    let none: Option<T> = db.fetch_val("SELECT :v", crate::Params::new().with("v", None::<T>)).await?;
    assert_eq!(none, None);
    Ok(())
}

pub async fn select_of_a_number_gives_it_back(f: &Fixture) -> Result<()> {
    for v in [0, -1, i64::MAX, i64::MIN] {
        echo(f, v).await?;
    }
    echo(f, 7_i16).await?;
    echo(f, -70_000_i32).await?;
    echo(f, i64::MAX as u64).await?;
    echo(f, 0.1_f64).await?;
    echo(f, 0.5_f32).await
}

pub async fn select_of_a_bool_gives_it_back(f: &Fixture) -> Result<()> {
    echo(f, true).await?;
    echo(f, false).await
}

pub async fn select_of_text_and_bytes_gives_them_back(f: &Fixture) -> Result<()> {
    echo(f, "it's 💾".to_owned()).await?;
    echo(f, String::new()).await?;
    if f.kind() == DialectKind::MySql {
        // MySQL gives a bare parameter back as text where its bytes are text; a cast says what is meant.
        let db = f.pool()?;
        let read: Vec<u8> = db.fetch_val("SELECT CAST(:v AS BINARY)", params! { v: vec![0_u8, 1, 255] }).await?;
        assert_eq!(read, [0, 1, 255]);
        return Ok(());
    }
    echo(f, vec![0_u8, 1, 255]).await
}

pub async fn select_of_a_time_gives_it_back(f: &Fixture) -> Result<()> {
    echo(f, Date::from_ymd(2024, 2, 29).expect("a date")).await?;
    echo(f, Time::from_hms_micro(1, 2, 3, 4).expect("a time")).await?;
    let at: DateTime = "2024-02-29 23:59:59.999999".parse().expect("a date and time");
    echo(f, at).await?;
    echo::<Timestamp>(f, at.assume_utc()).await
}

pub async fn select_of_a_decimal_uuid_and_json_gives_them_back(f: &Fixture) -> Result<()> {
    echo::<Decimal>(f, "12.5".parse().expect("a decimal")).await?;
    echo::<Uuid>(f, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a uuid")).await?;
    echo(f, JsonText::new(r#"{"a": 1}"#)).await
}

pub async fn select_of_an_untyped_null_is_null(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    assert_eq!(db.fetch_val::<Value>("SELECT :v", params! { v: Value::Null }).await?, Value::Null);
    assert_eq!(db.fetch_val::<Option<i64>>("SELECT NULL", ()).await?, None);
    Ok(())
}

pub async fn one_text_takes_values_of_different_types(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    for _ in 0..2 {
        assert_eq!(db.fetch_val::<i64>("SELECT :v", params! { v: 1 }).await?, 1);
        assert_eq!(db.fetch_val::<String>("SELECT :v", params! { v: "a" }).await?, "a");
        assert_eq!(db.fetch_val::<f64>("SELECT :v", params! { v: 1.5 }).await?, 1.5);
        assert_eq!(db.fetch_val::<Option<String>>("SELECT :v", params! { v: None::<String> }).await?, None);
    }
    Ok(())
}

pub async fn parameters_take_part_in_expressions(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (40, 'ab')"), ()).await?;
    let sum: i64 = db.fetch_val(format!("SELECT id + :n FROM {t}"), params! { n: 2 }).await?;
    assert_eq!(sum, 42);
    let found: i64 = db
        .fetch_val(
            format!("SELECT count(*) FROM {t} WHERE body LIKE :like AND id BETWEEN :a AND :b"),
            params! { like: "a%", a: 1, b: 40 },
        )
        .await?;
    assert_eq!(found, 1);
    let limited =
        db.fetch_all::<(i64,)>(format!("SELECT id FROM {t} LIMIT :n OFFSET :o"), params! { n: 5, o: 0 }).await?;
    assert_eq!(limited, [(40,)]);
    Ok(())
}

pub async fn the_type_asked_for_decides_and_is_exact(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (300, '12.50')"), ()).await?;
    let sql = format!("SELECT id FROM {t}");
    assert_eq!(db.fetch_val::<i16>(&sql, ()).await?, 300);
    assert_eq!(db.fetch_val::<u32>(&sql, ()).await?, 300);
    assert_eq!(db.fetch_val::<f64>(&sql, ()).await?, 300.0);
    assert_eq!(db.fetch_val::<Decimal>(&sql, ()).await?.to_string(), "300");
    for error in [
        fails(db.fetch_val::<i8>(&sql, ()).await, ErrorKind::Decode),
        fails(db.fetch_val::<bool>(&sql, ()).await, ErrorKind::Decode),
        fails(db.fetch_val::<String>(&sql, ()).await, ErrorKind::Decode),
        fails(db.fetch_val::<Date>(&sql, ()).await, ErrorKind::Decode),
    ] {
        let said = error.to_string();
        assert!(said.contains("`id`") && !said.contains("300"), "{said}");
    }
    let sql = format!("SELECT body FROM {t}");
    assert_eq!(db.fetch_val::<Decimal>(&sql, ()).await?.to_string(), "12.50");
    fails(db.fetch_val::<i64>(&sql, ()).await, ErrorKind::Decode);
    Ok(())
}

pub async fn a_sum_of_integers_is_read_as_an_integer(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a'), (2, 'b')"), ()).await?;
    assert_eq!(db.fetch_val::<i64>(format!("SELECT sum(id) FROM {t}"), ()).await?, 3);
    assert_eq!(db.fetch_val::<Option<i64>>(format!("SELECT sum(id) FROM {t} WHERE id > 9"), ()).await?, None);
    Ok(())
}

pub async fn a_type_of_ones_own_is_a_parameter_and_a_result(f: &Fixture) -> Result<()> {
    #[derive(Clone, Debug, PartialEq)]
    struct Id(i64);
    impl IntoValue for Id {
        const KIND: crate::ValueKind = <i64 as IntoValue>::KIND;
        fn into_value(self) -> Value {
            self.0.into_value()
        }
    }
    impl FromValue for Id {
        fn from_value(value: crate::ValueRef<'_>) -> Result<Self> {
            i64::from_value(value).map(Self)
        }
    }
    echo(f, Id(5)).await
}

pub async fn a_typed_null_of_every_sort_stands_beside_a_comparison(f: &Fixture) -> Result<()> {
    /// What a derive makes of a newtype.
    #[derive(Clone)]
    struct Id(i64);
    impl IntoValue for Id {
        const KIND: crate::ValueKind = <i64 as IntoValue>::KIND;
        fn into_value(self) -> Value {
            self.0.into_value()
        }
    }
    async fn both<T: IntoValue + Clone>(db: &Pool, table: &str, value: T) -> Result<()> {
        let sql = format!("SELECT count(*) FROM {table} WHERE (:v IS NULL OR v = :v)");
        let given = |v: Option<T>| crate::Params::new().with("v", v);
        assert_eq!(db.fetch_val::<i64>(&sql, given(None)).await?, 2);
        assert_eq!(db.fetch_val::<i64>(&sql, given(Some(value))).await?, 1);
        Ok(())
    }
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let at: DateTime = "2024-02-29 01:02:03.5".parse().expect("a date and time");
    macro_rules! beside {
        ($($column:expr, $value:expr;)*) => {$(
            let t = f.table("beside");
            db.execute(format!("CREATE TABLE {t} (v {})", $column), ()).await?;
            db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: $value }).await?;
            db.execute(format!("INSERT INTO {t} (v) VALUES (NULL)"), ()).await?;
            both(&db, &t, $value).await?;
        )*};
    }
    beside! {
        f.types.i64, Id(5);
        f.types.i64, 5_usize;
        f.types.i64, std::num::NonZeroI32::MAX;
        f.types.decimal, "12.5".parse::<Decimal>().expect("a decimal");
        f.types.short_text, std::sync::Arc::<str>::from("a");
        f.types.short_text, 'a';
        f.types.bytes, [1_u8, 2];
        f.types.date, at.date();
        f.types.time, at.time();
        f.types.datetime, at;
        f.types.timestamp, at.assume_utc();
        f.types.uuid, Uuid::nil();
    }
    Ok(())
}

pub async fn columns_read_as_values_have_the_kinds_of_their_server(f: &Fixture) -> Result<()> {
    use crate::ValueKind as Is;
    let db = f.pool()?;
    let t = f.table("kinds");
    let types = f.types;
    let mariadb = f.product(&db).await? == "MariaDB";
    let at: DateTime = "2024-02-29 01:02:03.5".parse().expect("a date and time");
    let json = if mariadb { Is::Text } else { Is::Json };
    for (column, arg, postgres, mysql, sqlite) in [
        (types.bool, crate::Arg::new(true), Is::Bool, Is::Int, Is::Int),
        (types.i64, crate::Arg::new(5), Is::Int, Is::Int, Is::Int),
        (types.f64, crate::Arg::new(0.5), Is::Float, Is::Float, Is::Float),
        (
            types.decimal,
            crate::Arg::new("12.5".parse::<Decimal>().expect("a decimal")),
            Is::Decimal,
            Is::Decimal,
            Is::Float,
        ),
        (types.text, crate::Arg::new("a"), Is::Text, Is::Text, Is::Text),
        (types.bytes, crate::Arg::new(vec![1_u8]), Is::Bytes, Is::Bytes, Is::Bytes),
        (types.date, crate::Arg::new(at.date()), Is::Date, Is::Date, Is::Text),
        (types.time, crate::Arg::new(at.time()), Is::Time, Is::Time, Is::Text),
        (types.datetime, crate::Arg::new(at), Is::DateTime, Is::DateTime, Is::Text),
        (types.timestamp, crate::Arg::new(at.assume_utc()), Is::Timestamp, Is::Timestamp, Is::Text),
        (types.uuid, crate::Arg::new(Uuid::nil()), Is::Uuid, Is::Text, Is::Text),
        (types.json, crate::Arg::new(JsonText::new("[1]")), Is::Json, json, Is::Text),
    ] {
        db.execute(format!("CREATE TABLE {t} (v {column})"), ()).await?;
        db.execute(format!("INSERT INTO {t} (v) VALUES (:v)"), params! { v: arg.value }).await?;
        let read: Value = db.fetch_val(format!("SELECT v FROM {t}"), ()).await?;
        assert_eq!(read.kind(), f.pick(postgres, mysql, sqlite), "{column}");
        db.execute(format!("DROP TABLE {t}"), ()).await?;
    }
    Ok(())
}
