//! `derive(Params)`.

use databases::{ErrorKind, Executor, FromRow, IntoParams, Params, Result};

use crate::memory;

#[derive(Clone, Debug, PartialEq, FromRow, Params)]
#[databases(rename_all = "camelCase")]
struct User {
    user_id: i64,
    #[databases(rename = "mail")]
    e_mail: String,
    // These two are for reading.
    #[databases(default)]
    visit_count: i64,
    #[databases(try_from = "i64")]
    level: Level,
    #[databases(skip)]
    cache: Option<String>,
    #[databases(flatten)]
    place: Place<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, FromRow, Params)]
struct Place<C> {
    city: C,
}

#[derive(Clone, Debug, PartialEq, databases::IntoValue)]
struct Level(i64);

impl From<i64> for Level {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

#[tokio::test]
async fn a_struct_comes_back_as_it_was_passed() -> Result<()> {
    let user = User {
        user_id: 1,
        e_mail: "a".to_owned(),
        visit_count: 3,
        level: Level(4),
        cache: None,
        place: Place { city: Some("B".to_owned()) },
    };
    let db = memory().await?;
    let sql = "SELECT :userId AS userId, :mail AS mail, :visitCount AS visitCount, :level AS level, :city AS city";
    assert_eq!(db.fetch_one::<User>(sql, &user).await?, user);
    assert_eq!(db.fetch_one::<User>(sql, user.clone()).await?, user);
    let cached = User { cache: Some("c".to_owned()), ..user.clone() };
    assert_eq!(db.fetch_one::<User>(sql, cached).await?, user);
    Ok(())
}

/// Has no `Clone`, so it is passed by value only.
struct Once(i64);

impl databases::IntoValue for Once {
    fn into_value(self) -> databases::Value {
        databases::Value::Int(self.0)
    }
}

#[derive(Params)]
struct Outer<'a, T, const N: usize> {
    #[databases(flatten)]
    inner: Inner<'a, T>,
    #[databases(flatten)]
    params: Params<'a>,
    #[databases(skip)]
    _sizes: [T; N],
}

#[derive(Params)]
struct Inner<'a, T> {
    name: &'a str,
    value: T,
}

#[tokio::test]
async fn flattened_structs_keep_generics_and_lifetimes() -> Result<()> {
    let name = String::from("n");
    let outer = |value| Outer::<_, 0> {
        inner: Inner { name: &name, value },
        params: databases::params! { more: true },
        _sizes: [],
    };
    assert_eq!((&outer(1)).into_params().names().collect::<Vec<_>>(), ["name", "value", "more"]);
    let outer = Outer::<_, 0> { inner: Inner { name: &name, value: Once(5) }, params: Params::new(), _sizes: [] };
    let read: (String, i64) = memory().await?.fetch_one("SELECT :name, :value", outer).await?;
    assert_eq!(read, ("n".to_owned(), 5));
    Ok(())
}

#[tokio::test]
async fn a_name_that_a_flattened_struct_repeats_is_an_error() -> Result<()> {
    #[derive(Params)]
    struct Twice {
        city: i64,
        #[databases(flatten)]
        place: Place<i64>,
    }
    let error = memory().await?.execute("SELECT :city", Twice { city: 1, place: Place { city: 2 } }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parameters);
    assert_eq!(error.to_string(), "the parameter `city` is given twice");
    Ok(())
}

#[tokio::test]
async fn a_prefix_stands_before_the_names_of_a_flattened_struct() -> Result<()> {
    #[derive(Debug, PartialEq, FromRow, Params)]
    struct Move {
        #[databases(flatten, prefix = "from_")]
        from: Place<i64>,
        #[databases(flatten, prefix = "to_")]
        to: Nested,
    }
    #[derive(Debug, PartialEq, FromRow, Params)]
    struct Nested {
        #[databases(flatten, prefix = "the_")]
        place: Place<i64>,
    }
    let moved = Move { from: Place { city: 1 }, to: Nested { place: Place { city: 2 } } };
    assert_eq!((&moved).into_params().names().collect::<Vec<_>>(), ["from_city", "to_the_city"]);
    let sql = "SELECT :from_city AS from_city, :to_the_city AS to_the_city";
    assert_eq!(memory().await?.fetch_one::<Move>(sql, &moved).await?, moved);
    Ok(())
}
