//! `derive(FromRow)`.

use std::fmt;
use std::marker::PhantomData;

use databases::{Database, Executor, FromRow, FromValue, Result, Row};

use crate::{error, memory, read};

#[derive(Debug, PartialEq, FromRow)]
#[databases(rename_all = "camelCase")]
struct User {
    user_id: i64,
    #[databases(rename = "mail")]
    e_mail: String,
    #[databases(default)]
    visit_count: i64,
    #[databases(default = "User::guest")]
    role_name: String,
    #[databases(try_from = "i64")]
    access_level: Level,
    #[databases(skip)]
    cache: Option<Vec<u8>>,
    #[databases(skip, default = "User::guest")]
    note: String,
}

impl User {
    fn guest() -> String {
        "guest".to_owned()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Level(u8);

#[derive(Debug)]
struct NoLevel(i64);

impl fmt::Display for NoLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no level", self.0)
    }
}

impl TryFrom<i64> for Level {
    type Error = NoLevel;
    fn try_from(value: i64) -> std::result::Result<Self, NoLevel> {
        u8::try_from(value).ok().filter(|level| *level < 10).map(Self).ok_or(NoLevel(value))
    }
}

#[tokio::test]
async fn every_attribute_of_a_column() -> Result<()> {
    let sql = "SELECT 1 AS userId, 'a' AS mail, 3 AS visitCount, 'admin' AS roleName, 9 AS accessLevel, 'x' AS cache";
    let user: User = read(sql).await?;
    let all = User {
        user_id: 1,
        e_mail: "a".to_owned(),
        visit_count: 3,
        role_name: "admin".to_owned(),
        access_level: Level(9),
        cache: None,
        note: "guest".to_owned(),
    };
    assert_eq!(user, all);
    let user: User = read("SELECT 0 AS accessLevel, 'a' AS mail, 1 AS userId").await?;
    assert_eq!(user, User { visit_count: 0, role_name: "guest".to_owned(), access_level: Level(0), ..all });
    Ok(())
}

#[tokio::test]
async fn a_default_stands_in_for_no_column_but_not_for_null_or_an_ambiguous_name() -> Result<()> {
    #[derive(Debug, PartialEq, FromRow)]
    struct Count {
        #[databases(default)]
        n: i64,
        #[databases(default)]
        text: Option<String>,
    }
    assert_eq!(read::<Count>("SELECT 1 AS other").await?, Count { n: 0, text: None });
    assert_eq!(read::<Count>("SELECT 1 AS N, NULL AS text").await?, Count { n: 1, text: None });
    assert_eq!(error::<Count>("SELECT NULL AS n").await.to_string(), "column `n`: NULL cannot be read as i64");
    assert_eq!(error::<Count>("SELECT 1 AS n, 2 AS n").await.to_string(), "the column name `n` is ambiguous");
    // The plan of the first row holds for the others, with and without the column.
    let db = memory().await?;
    let many: Vec<Count> = db.fetch_all("SELECT 1 AS n UNION ALL SELECT 2 ORDER BY 1", ()).await?;
    assert_eq!(many.iter().map(|count| count.n).collect::<Vec<_>>(), [1, 2]);
    let many: Vec<Count> = db.fetch_all("SELECT 'a' AS text UNION ALL SELECT 'b' ORDER BY 1", ()).await?;
    assert_eq!(many[1], Count { n: 0, text: Some("b".to_owned()) });
    Ok(())
}

#[tokio::test]
async fn a_conversion_that_fails_names_the_column_and_keeps_the_value_to_its_detail() {
    let error = error::<User>("SELECT 1 AS userId, 'a' AS mail, 77 AS accessLevel").await;
    assert_eq!(error.to_string(), "column `accessLevel`: this i64 cannot be converted to Level");
    assert_eq!(error.detail(), Some("77 is no level"));
    assert!(!format!("{error:?} {error:#?}").contains("77"), "{error:?}");
    assert!(std::error::Error::source(&error).is_none());
}

#[tokio::test]
async fn what_a_conversion_starts_from_is_read_as_ever() {
    let null = error::<User>("SELECT 1 AS userId, 'a' AS mail, NULL AS accessLevel").await;
    assert_eq!(null.to_string(), "column `accessLevel`: NULL cannot be read as i64");
    let missing = error::<User>("SELECT 1 AS userId, 'a' AS mail").await;
    assert_eq!(missing.to_string(), "no column `accessLevel`; there are `userId`, `mail`");
}

#[tokio::test]
async fn a_conversion_may_have_a_default() -> Result<()> {
    #[derive(FromRow)]
    struct Door {
        #[databases(try_from = "i64", default)]
        level: Level,
    }
    assert_eq!(read::<Door>("SELECT 1 AS id").await?.level, Level(0));
    assert_eq!(read::<Door>("SELECT 7 AS level").await?.level, Level(7));
    Ok(())
}

#[derive(Debug, PartialEq, FromRow)]
struct Place {
    street: String,
    #[databases(flatten)]
    town: Town,
}

#[derive(Debug, PartialEq, FromRow)]
struct Town {
    #[databases(rename = "zip")]
    code: i64,
    city: Option<String>,
}

#[derive(Debug, FromRow)]
struct Shop<P> {
    id: i64,
    #[databases(flatten)]
    place: P,
    name: String,
}

#[tokio::test]
async fn flattened_structs_read_the_same_row() -> Result<()> {
    let db = memory().await?;
    let sql =
        "SELECT column1 AS id, 'A' AS street, 10 + column1 AS zip, 'B' AS city, 'C' AS name FROM (VALUES (1), (2))";
    for shops in [db.fetch_all::<Shop<Place>>(sql, ()).await?, db.fetch_all(sql, ()).await?] {
        assert_eq!(shops.len(), 2);
        for (shop, id) in shops.iter().zip(1..) {
            let town = Town { code: 10 + id, city: Some("B".to_owned()) };
            assert_eq!((shop.id, &*shop.name), (id, "C"));
            assert_eq!(shop.place, Place { street: "A".to_owned(), town });
        }
    }
    // Also what does not come from the derive, or has only flattened fields.
    let row: Row = db.fetch_one(sql, ()).await?;
    assert_eq!(Shop::<Row>::from_row(&row)?.place.get::<i64>("zip")?, 11);
    #[derive(FromRow)]
    struct Both {
        #[databases(flatten)]
        town: Town,
        #[databases(flatten)]
        pair: (i64, String),
    }
    let both = Both::from_row(&row)?;
    assert_eq!((both.town.code, both.pair), (11, (1, "A".to_owned())));
    Ok(())
}

#[tokio::test]
async fn a_column_that_a_flattened_struct_misses_is_named() {
    let error = error::<Shop<Place>>("SELECT 1 AS id, 'A' AS street, 'B' AS city, 'C' AS name").await;
    assert_eq!(error.to_string(), "no column `zip`; there are `id`, `street`, `city`, `name`");
}

#[derive(Debug, PartialEq, FromRow)]
struct Order {
    id: i64,
    #[databases(flatten, prefix = "from_")]
    from: Place,
    #[databases(flatten, prefix = "to_")]
    to: Leg,
}

#[derive(Debug, PartialEq, FromRow)]
struct Leg {
    #[databases(default)]
    km: i64,
    #[databases(flatten, prefix = "end_")]
    end: Town,
}

#[tokio::test]
async fn a_prefix_stands_before_the_columns_of_a_flattened_struct_at_any_depth() -> Result<()> {
    let sql = "SELECT column1 AS id, 'A' AS from_street, 10 AS from_zip, NULL AS from_city, 9 AS km, 7 AS TO_KM,
        20 + column1 AS to_end_zip, 'C' AS to_end_city FROM (VALUES (1), (2))";
    let orders: Vec<Order> = memory().await?.fetch_all(sql, ()).await?;
    let order = |id| Order {
        id,
        from: Place { street: "A".to_owned(), town: Town { code: 10, city: None } },
        to: Leg { km: 7, end: Town { code: 20 + id, city: Some("C".to_owned()) } },
    };
    assert_eq!(orders, [order(1), order(2)]);

    let sql = "SELECT 1 AS id, 'A' AS from_street, 10 AS from_zip, 'C' AS from_city, 9 AS km, 2 AS to_end_zip";
    let missing = error::<Order>(sql).await.to_string();
    let there = "`id`, `from_street`, `from_zip`, `from_city`, `km`, `to_end_zip`";
    assert_eq!(missing, format!("no column `to_end_city`; there are {there}"));
    let order: Order = read(&format!("{sql}, 'D' AS to_end_city")).await?;
    assert_eq!(order.to.km, 0);
    Ok(())
}

#[tokio::test]
async fn a_prefix_needs_names() {
    #[derive(Debug, FromRow)]
    struct Both<T> {
        #[databases(flatten, prefix = "a_")]
        _inner: T,
    }
    let error = error::<Both<(i64,)>>("SELECT 1 AS a_id").await;
    assert_eq!(error.to_string(), "(i64,) cannot be read with the prefix `a_`");
    assert_eq!(error.hint(), Some("a struct with derive(FromRow) and named fields can"));
}

#[derive(Debug, PartialEq, FromRow)]
struct Point<T>(
    T,
    #[databases(skip)] PhantomData<fn() -> T>,
    #[databases(try_from = "i64")] Level,
    #[databases(default)] i64,
);

#[tokio::test]
async fn tuple_structs_are_read_by_position() -> Result<()> {
    assert_eq!(read::<Point<f64>>("SELECT 1.5 AS a, 2 AS a, 3, 4").await?, Point(1.5, PhantomData, Level(2), 3));
    assert_eq!(read::<Point<i64>>("SELECT 1, 2").await?, Point(1, PhantomData, Level(2), 0));
    assert_eq!(
        error::<Point<i64>>("SELECT 1").await.to_string(),
        "no column at index 1; the row has 1, counted from 0"
    );
    assert_eq!(
        error::<Point<i64>>("SELECT 1, 12 AS level").await.to_string(),
        "column `level`: this i64 cannot be converted to Level"
    );
    #[derive(FromRow)]
    struct Nothing();
    let Nothing() = read("SELECT 1").await?;
    Ok(())
}

#[derive(Debug, FromRow)]
struct Page<'a, T: Clone, K, const N: usize = 1>
where
    K: Into<i64>,
{
    item: T,
    #[databases(try_from = "Option<K>", default = "Checked::never")]
    checked: Checked<K>,
    #[databases(default)]
    other: Option<T>,
    #[databases(skip)]
    borrowed: Option<&'a str>,
    #[databases(skip)]
    sizes: PhantomData<[T; N]>,
}

#[derive(Debug, PartialEq)]
struct Checked<K>(Option<K>);

impl<K> Checked<K> {
    fn never() -> Self {
        Self(None)
    }
}

// As infallible as a `TryFrom` may be.
impl<K> From<Option<K>> for Checked<K> {
    fn from(value: Option<K>) -> Self {
        Self(value)
    }
}

#[tokio::test]
async fn generics_keep_their_bounds() -> Result<()> {
    async fn page<T: FromValue + Clone>(db: &Database, sql: &str) -> Result<Page<'static, T, i32>> {
        db.fetch_one(sql, ()).await
    }
    let db = memory().await?;
    let text = page::<String>(&db, "SELECT 'a' AS item, 7 AS checked, 'b' AS other").await?;
    assert_eq!((&*text.item, text.checked, text.other), ("a", Checked(Some(7)), Some("b".to_owned())));
    let bytes = page::<Vec<u8>>(&db, "SELECT x'01' AS item").await?;
    assert_eq!((bytes.item, bytes.checked, bytes.other, bytes.borrowed), (vec![1], Checked(None), None, None));
    assert_eq!(bytes.sizes, PhantomData);
    Ok(())
}

#[tokio::test]
async fn each_style_names_the_columns() -> Result<()> {
    macro_rules! style {
        ($($style:literal => $column:literal),*) => {$({
            #[derive(FromRow)]
            #[databases(rename_all = $style)]
            struct Styled {
                in_progress: i64,
                r#type: i64,
            }
            let sql = format!("SELECT 1 AS \"{}\", 2 AS \"type\"", $column);
            let styled: Styled = read(&sql).await?;
            assert_eq!((styled.in_progress, styled.r#type), (1, 2), $style);
        })*};
    }
    style! {
        "camelCase" => "inProgress", "snake_case" => "in_progress", "PascalCase" => "InProgress",
        "SCREAMING_SNAKE_CASE" => "IN_PROGRESS", "kebab-case" => "in-progress", "lowercase" => "in_progress",
        "UPPERCASE" => "IN_PROGRESS"
    }
    Ok(())
}
