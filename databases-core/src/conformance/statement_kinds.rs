//! Each kind of sea-query statement, run; where a server has none of a kind, its error.

use sea_query::extension::postgres::{Extension, Type};
use sea_query::{
    Alias, ArrayType, ColumnDef, CommonTableExpression, Enum, ExplainStatement, Expr, ExprTrait as _, ForeignKey,
    ForeignKeyAction, ForeignKeyStatement, Func, Index, IndexStatement, JoinType, OnConflict, OptionEnum, Order, Query,
    QueryStatement, SchemaStatement, SubQueryStatement, Table, TableStatement, UnionType, Value, WindowStatement,
    WithClause,
};

use super::{Fixture, fails};
use crate::database::Pool;
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;
use crate::row::Row;
use crate::sql::DialectKind;

/// `(id, name, n)` with three rows; `id` is counted, `name` is unique.
async fn three(f: &Fixture, db: &Pool) -> Result<String> {
    let name = f.table("three");
    let create = Table::create()
        .table(Alias::new(&name))
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("name").string_len(40).not_null().unique_key())
        .col(ColumnDef::new("n").integer().default(7))
        .take();
    db.execute(&create, ()).await?;
    let mut insert = Query::insert().into_table(Alias::new(&name)).columns(["name", "n"]).take();
    for (name, n) in [("a", 1), ("b", 2), ("c", 2)] {
        insert.values_panic([name.into(), n.into()]);
    }
    assert_eq!(db.execute(insert, ()).await?.rows_affected(), 3);
    Ok(name)
}

pub async fn select_statements_of_many_shapes_run(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = three(f, &db).await?;
    let t = || Alias::new(&t);
    let grouped = Query::select()
        .column("n")
        .expr_as(Expr::col("id").count(), "many")
        .expr_as(Expr::case(Expr::col("n").gt(1), "high").finally("low"), "class")
        .from(t())
        .group_by_col("n")
        .and_having(Expr::col("id").count().gt(0))
        .order_by("n", Order::Desc)
        .limit(10)
        .offset(0)
        .take();
    let rows: Vec<(i64, i64, String)> = db.fetch_all(&grouped, ()).await?;
    assert_eq!(rows, [(2, 2, "high".into()), (1, 1, "low".into())]);
    let joined = Query::select()
        .column(("x", "name"))
        .from_as(t(), "x")
        .join_as(JoinType::LeftJoin, t(), "y", Expr::col(("y", "n")).equals(("x", "n")))
        .and_where(Expr::col(("y", "name")).eq("c"))
        .and_where(
            Expr::col(("x", "id")).in_subquery(Query::select().expr(Func::max(Expr::col("id"))).from(t()).take()),
        )
        .take();
    assert_eq!(db.fetch_val::<String>(&joined, ()).await?, "c");
    let one = |name: &str| Query::select().column("name").from(t()).and_where(Expr::col("name").eq(name)).take();
    let union = one("a").union(UnionType::All, one("b")).order_by("name", Order::Desc).to_owned();
    assert_eq!(db.fetch_all::<(String,)>(union, ()).await?, [("b".into(),), ("a".into(),)]);
    let window = Query::select()
        .expr_window_as(Expr::cust("row_number()"), WindowStatement::new().order_by("id", Order::Desc).to_owned(), "r")
        .from(t())
        .order_by("id", Order::Asc)
        .take();
    assert_eq!(db.fetch_val::<i64>(window, ()).await?, 3);
    let nobody =
        Query::select().column("name").distinct().from(t()).and_where(Expr::col("id").is_in([0_i64; 0])).take();
    assert!(db.fetch_all::<Row>(nobody, ()).await?.is_empty());
    Ok(())
}

pub async fn insert_update_and_delete_statements_of_many_shapes_run(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = three(f, &db).await?;
    let t = || Alias::new(&t);
    let n_of = async |name: &str| {
        let select = Query::select().column("n").from(t()).and_where(Expr::col("name").eq(name)).take();
        db.fetch_val::<Option<i32>>(select, ()).await
    };
    let upsert = Query::insert()
        .into_table(t())
        .columns(["name", "n"])
        .values_panic(["a".into(), 9.into()])
        .on_conflict(OnConflict::column("name").update_column("n").to_owned())
        .take();
    db.execute(upsert, ()).await?;
    assert_eq!(n_of("a").await?, Some(9));
    let copy = Query::insert()
        .into_table(t())
        .columns(["name", "n"])
        .select_from(
            Query::select()
                .expr(Expr::col("given"))
                .from_subquery(Query::select().expr_as(Expr::cust(":name"), "given").take(), "made")
                .expr(Expr::val(Option::<i32>::None))
                .take(),
        )
        .expect("as many columns as values")
        .take();
    // A NULL of the builder's keeps its type, and a name of ours has its value beside it.
    assert_eq!(db.execute(copy, params! { name: "d" }).await?.rows_affected(), 1);
    assert_eq!(n_of("d").await?, None);
    let update = Query::update()
        .table(t())
        .value("n", Expr::col("n").add(1))
        .and_where(Expr::col("name").is_in(["a", "b"]))
        .take();
    assert_eq!(db.execute(QueryStatement::Update(update), ()).await?.rows_affected(), 2);
    assert_eq!(n_of("b").await?, Some(3));
    let delete = Query::delete().from_table(t()).and_where(Expr::col("name").like("d%")).take();
    assert_eq!(db.execute(SubQueryStatement::DeleteStatement(delete), ()).await?.rows_affected(), 1);
    let plain = Query::insert().into_table(t()).columns(["name"]).values_panic(["e".into()]).take();
    db.execute(QueryStatement::Insert(plain), ()).await?;
    assert_eq!(n_of("e").await?, Some(7));
    let count = Query::select().expr(Expr::cust("count(*)")).from(t()).take();
    assert_eq!(db.fetch_val::<i64>(SubQueryStatement::SelectStatement(count.clone()), ()).await?, 4);
    assert_eq!(db.fetch_val::<i64>(QueryStatement::Select(count), ()).await?, 4);
    Ok(())
}

pub async fn with_queries_run(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = three(f, &db).await?;
    let some = CommonTableExpression::new()
        .table_name("some")
        .query(Query::select().column("name").from(Alias::new(&t)).and_where(Expr::col("n").eq(2)).take())
        .to_owned();
    let select = Query::select().expr(Expr::cust("count(*)")).from("some").take();
    let with = select.with(WithClause::new().cte(some).to_owned());
    assert_eq!(db.fetch_val::<i64>(&with, ()).await?, 2);
    assert_eq!(db.fetch_val::<i64>(SubQueryStatement::WithStatement(with), ()).await?, 2);
    let start = Query::select().expr_as(Expr::cust("1"), "i").take();
    let next = Query::select()
        .expr(Expr::cust("i + 1"))
        .from("up")
        .and_where(Expr::col("i").lt(5))
        .and_where(Expr::cust("i < :limit"))
        .take();
    let up = CommonTableExpression::new()
        .table_name("up")
        .column("i")
        .query(start.clone().union(UnionType::All, next).to_owned())
        .to_owned();
    let sum = Query::select().expr(Expr::cust("max(i)")).from("up").take();
    let with = sum.with(WithClause::new().recursive(true).cte(up).to_owned());
    assert_eq!(db.fetch_val::<i64>(&with, params! { limit: 3 }).await?, 3);
    Ok(())
}

pub async fn explain_statements_run(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = three(f, &db).await?;
    let select = Query::select().column("name").from(Alias::new(&t)).and_where(Expr::col("id").eq(2_i64)).take();
    let explain = ExplainStatement::new().statement(select);
    assert!(!db.fetch_all::<Row>(&explain, ()).await?.is_empty());
    Ok(())
}

pub async fn returning_is_written_where_the_server_has_it(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let name = three(f, &db).await?;
    let t = || Alias::new(&name);
    let insert = Query::insert()
        .into_table(t())
        .columns(["name"])
        .values_panic(["d".into()])
        .returning(Query::returning().exprs([Expr::col("id"), Expr::col("n").add(1), Expr::cust(":mine")]))
        .take();
    let delete = Query::delete().from_table(t()).and_where(Expr::col("name").eq("a")).returning_col("id").take();
    let update = Query::update().table(t()).value("n", 5).and_where(Expr::col("name").eq("b")).returning_all().take();
    let mine = || params! { mine: "x" };
    if f.kind() == DialectKind::MySql {
        fails(db.fetch_all::<Row>(&update, ()).await, ErrorKind::Unsupported);
    } else {
        let row: Row = db.fetch_one(&update, ()).await?;
        assert_eq!((row.get::<String>("name")?, row.get::<i64>("n")?), ("b".into(), 5));
    }
    if f.product(&db).await? == "MySQL" {
        fails(db.fetch_all::<Row>(&insert, mine()).await, ErrorKind::Unsupported);
        fails(db.execute(&delete, ()).await, ErrorKind::Unsupported);
        fails(db.execute_many(&delete, [()]).await, ErrorKind::Unsupported);
        let left = format!("SELECT count(*) FROM {name}");
        assert_eq!(db.fetch_val::<i64>(left, ()).await?, 3);
        return Ok(());
    }
    let row: (i64, i64, String) = db.fetch_one(&insert, mine()).await?;
    assert_eq!(row, (4, 8, "x".into()));
    assert_eq!(db.fetch_all::<(i64,)>(&delete, ()).await?, [(1,)]);
    assert!(db.fetch_all::<Row>(&delete, ()).await?.is_empty());
    Ok(())
}

pub async fn table_statements_run(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (name, renamed) = (f.table("made"), f.table("renamed"));
    let t = || Alias::new(&name);
    let create = Table::create()
        .table(t())
        .if_not_exists()
        .col(ColumnDef::new("id").integer().not_null())
        .col(ColumnDef::new("note").text())
        .primary_key(Index::create().col("id"))
        .check(Expr::col("id").gt(0))
        .take();
    db.execute(TableStatement::Create(create.clone()), ()).await?;
    db.execute(SchemaStatement::TableStatement(TableStatement::Create(create)), ()).await?;
    let words = "it's a :word; \"and\" `more` ? $1 -- #";
    let add =
        Table::alter().table(t()).add_column(ColumnDef::new("more").string_len(80).not_null().default(words)).take();
    db.execute(add, ()).await?;
    let rename = Table::alter().table(t()).rename_column("note", "remark").take();
    db.execute(rename, ()).await?;
    db.execute(format!("INSERT INTO {name} (id, remark) VALUES (1, 'x')"), ()).await?;
    let drop = Table::alter().table(t()).drop_column("remark").take();
    db.execute(TableStatement::Alter(drop), ()).await?;
    let modify = Table::alter().table(t()).modify_column(ColumnDef::new("id").big_integer().not_null()).take();
    if f.kind() == DialectKind::Sqlite {
        fails(db.execute(&modify, ()).await, ErrorKind::Unsupported);
    } else {
        db.execute(&modify, ()).await?;
    }
    db.execute(Table::rename().table(t(), Alias::new(&renamed)).take(), ()).await?;
    let row: (i64, String) = db.fetch_one(format!("SELECT * FROM {renamed}"), ()).await?;
    assert_eq!(row, (1, words.into()));
    let truncate = Table::truncate().table(Alias::new(&renamed)).take();
    if f.kind() == DialectKind::Sqlite {
        fails(db.execute(&truncate, ()).await, ErrorKind::Unsupported);
    } else {
        db.execute(TableStatement::Truncate(truncate), ()).await?;
        assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {renamed}"), ()).await?, 0);
    }
    db.execute(Table::drop().table(Alias::new(&renamed)).if_exists().take(), ()).await?;
    fails(db.execute(Table::drop().table(Alias::new(&renamed)).take(), ()).await, ErrorKind::UndefinedTable);
    Ok(())
}

pub async fn index_and_foreign_key_statements_run(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let parent = three(f, &db).await?;
    let child = f.table("child");
    let (p, c) = (|| Alias::new(&parent), || Alias::new(&child));
    let mut create = Table::create().table(c()).col(ColumnDef::new("parent").big_integer()).take();
    let key = ForeignKey::create()
        .name(format!("{child}_fk"))
        .from(c(), "parent")
        .to(p(), "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take();
    let drop_key = ForeignKey::drop().name(format!("{child}_fk")).table(c()).to_owned();
    if f.kind() == DialectKind::Sqlite {
        db.execute(create.foreign_key(&mut key.clone()), ()).await?;
        fails(db.execute(&key, ()).await, ErrorKind::Unsupported);
        fails(db.execute(ForeignKeyStatement::Drop(drop_key.clone()), ()).await, ErrorKind::Unsupported);
    } else {
        db.execute(&create, ()).await?;
        db.execute(ForeignKeyStatement::Create(key), ()).await?;
    }
    fails(db.execute(format!("INSERT INTO {child} VALUES (99)"), ()).await, ErrorKind::ForeignKeyViolation);
    if f.kind() != DialectKind::Sqlite {
        db.execute(&drop_key, ()).await?;
        db.execute(format!("INSERT INTO {child} VALUES (99)"), ()).await?;
    }
    let index = format!("{child}_ix");
    let unique = Index::create().name(&index).table(c()).col("parent").unique().take();
    db.execute(&unique, ()).await?;
    let insert = Query::insert().into_table(c()).columns(["parent"]).values_panic([1_i64.into()]).take();
    db.execute(&insert, ()).await?;
    fails(db.execute(&insert, ()).await, ErrorKind::UniqueViolation);
    let drop = Index::drop().name(&index).table(c()).to_owned();
    db.execute(IndexStatement::Drop(drop), ()).await?;
    db.execute(&insert, ()).await?;
    let plain = Index::create().name(&index).table(c()).col("parent").take();
    db.execute(SchemaStatement::IndexStatement(IndexStatement::Create(plain)), ()).await?;
    Ok(())
}

pub async fn types_and_extensions_are_statements_of_postgresql(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let (mood, t) = (f.table("mood"), f.table("moods"));
    let m = || Alias::new(&mood);
    let create = Type::create().as_enum(m()).values(["sad", "it's ok"]).to_owned();
    let extension = Extension::create().name("plpgsql").if_not_exists().to_owned();
    if f.kind() != DialectKind::Postgres {
        fails(db.execute(&create, ()).await, ErrorKind::Unsupported);
        fails(db.execute(&extension, ()).await, ErrorKind::Unsupported);
        return Ok(());
    }
    db.execute(&extension, ()).await?;
    db.execute(Extension::drop().name("no_such_extension").if_exists().to_owned(), ()).await?;
    db.execute(&create, ()).await?;
    db.execute(Type::alter().name(m()).add_value("glad").after("sad"), ()).await?;
    db.execute(Type::alter().name(m()).rename_value("sad", "blue"), ()).await?;
    let table = Table::create().table(Alias::new(&t)).col(ColumnDef::new("m").custom(m())).take();
    db.execute(&table, ()).await?;
    let value = |value: &'static str| {
        Value::Enum(OptionEnum::Some(Box::new(Enum { type_name: mood.as_str().into(), value: value.into() })))
    };
    let insert = Query::insert()
        .into_table(Alias::new(&t))
        .columns(["m"])
        .values_panic([value("it's ok").into()])
        .values_panic([Value::Enum(OptionEnum::None(mood.as_str().into())).into()])
        .values_panic([value("glad").into()])
        .take();
    assert_eq!(db.execute(&insert, ()).await?.rows_affected(), 3);
    let select = Query::select().expr(Expr::cust("m::text")).from(Alias::new(&t)).order_by("m", Order::Asc).take();
    let rows: Vec<(Option<String>,)> = db.fetch_all(&select, ()).await?;
    assert_eq!(rows, [(Some("glad".into()),), (Some("it's ok".into()),), (None,)]);
    let all = Query::select()
        .expr(Expr::col("m").count())
        .from(Alias::new(&t))
        .and_where(Expr::cust_with_values(
            "m = ANY ($1)",
            [Value::Array(ArrayType::Enum(Box::new(mood.as_str().into())), Some(Box::new(vec![value("glad")])))],
        ))
        .take();
    assert_eq!(db.fetch_val::<i64>(&all, ()).await?, 1);
    db.execute(Table::drop().table(Alias::new(&t)).take(), ()).await?;
    db.execute(Type::drop().name(m()).if_exists().to_owned(), ()).await?;
    Ok(())
}

pub async fn values_of_the_builder_come_back(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.table("values");
    let column = ColumnDef::new;
    let create = Table::create()
        .table(Alias::new(&t))
        .col(column("flag").boolean())
        .col(column("small").small_integer())
        .col(column("whole").integer())
        .col(column("big").big_integer())
        .col(column("real").double())
        .col(column("words").text())
        .col(column("raw").blob())
        .take();
    db.execute(&create, ()).await?;
    let columns = ["flag", "small", "whole", "big", "real", "words", "raw"];
    let insert = Query::insert()
        .into_table(Alias::new(&t))
        .columns(columns)
        .values_panic([
            true.into(),
            Expr::val(200_u8),
            Expr::val(40_000_u16),
            Expr::val(4_000_000_000_u32),
            Expr::val(0.5_f64),
            Expr::val('ü'),
            Expr::val(vec![0_u8, 255]),
        ])
        .values_panic([
            Expr::val(Value::Bool(None)),
            Expr::val(Value::TinyUnsigned(None)),
            Expr::val(Value::Int(None)),
            Expr::val(Value::BigInt(None)),
            Expr::val(Value::Double(None)),
            Expr::val(Value::Char(None)),
            Expr::val(Value::Bytes(None)),
        ])
        .take();
    db.execute(&insert, ()).await?;
    type Cells = (Option<bool>, Option<i16>, Option<i32>, Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>);
    let select = Query::select().columns(columns).from(Alias::new(&t)).order_by("small", Order::Desc).take();
    let mut rows: Vec<Cells> = db.fetch_all(&select, ()).await?;
    // Where NULL sorts differs.
    rows.sort_by_key(|row| row.1.is_none());
    let full = (true, 200, 40_000, 4_000_000_000, 0.5, "ü".to_owned(), vec![0, 255]);
    let full = (Some(full.0), Some(full.1), Some(full.2), Some(full.3), Some(full.4), Some(full.5), Some(full.6));
    assert_eq!(rows, [full, (None, None, None, None, None, None, None)]);
    let array = Query::select().expr(Expr::val(vec![1_i64, 2])).take();
    if f.capabilities().arrays {
        assert_eq!(db.fetch_val::<Vec<i64>>(&array, ()).await?, [1, 2]);
        let none = Query::select().expr(Expr::val(Value::Array(ArrayType::BigInt, None))).take();
        assert_eq!(db.fetch_val::<Option<Vec<i64>>>(&none, ()).await?, None);
    } else {
        fails(db.fetch_all::<Row>(&array, ()).await, ErrorKind::Parameters);
    }
    Ok(())
}
