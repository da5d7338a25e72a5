//! Statements made with sea-query, which spells them for the server at hand: wherever SQL text goes, they go too.
//! And text that is put together as a request asks for it, with values that stay parameters and names that are quoted.
//!
//! ```text
//! cargo run --example query_builder
//! cargo run --features postgres,mysql --example query_builder -- postgres://user:password@localhost/database
//! ```

use databases::sea_query::{
    ColumnDef, Expr, ExprTrait, ForeignKey, ForeignKeyAction, Func, Index, JoinType, Order, Query, SelectStatement,
    Table,
};
use databases::{Database, Executor, FromRow, Query as Text, ident, list, params, sql};

#[derive(Debug, FromRow)]
struct Shelf {
    author: String,
    books: i64,
    first: Option<i32>,
}

async fn create_tables(db: &impl Executor) -> databases::Result<()> {
    let id = || ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key().take();
    db.execute(Table::drop().table("example_books").if_exists().take(), ()).await?;
    db.execute(Table::drop().table("example_authors").if_exists().take(), ()).await?;
    let authors = Table::create()
        .table("example_authors")
        .col(id())
        .col(ColumnDef::new("name").string_len(100).not_null().unique_key())
        .take();
    let books = Table::create()
        .table("example_books")
        .col(id())
        .col(ColumnDef::new("author_id").big_integer().not_null())
        .col(ColumnDef::new("title").string_len(200).not_null())
        .col(ColumnDef::new("year").integer())
        .foreign_key(
            ForeignKey::create()
                .name("example_books_author")
                .from("example_books", "author_id")
                .to("example_authors", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .take();
    let by_title = Index::create().name("example_books_title").table("example_books").col("title").take();
    db.execute(&authors, ()).await?;
    db.execute(&books, ()).await?;
    db.execute(&by_title, ()).await?;
    Ok(())
}

/// A query that depends on what is asked for: what a builder is better at than text.
fn search(title: Option<&str>, since: Option<i32>) -> SelectStatement {
    let mut select = Query::select();
    select.columns(["title", "year"]).from("example_books").order_by("title", Order::Asc);
    if let Some(title) = title {
        select.and_where(Expr::col("title").like(format!("%{title}%")));
    }
    if let Some(since) = since {
        select.and_where(Expr::col("year").gte(since));
    }
    select
}

/// The same without a builder. `sort_by` may come from anywhere: it is one name in quotes, whatever is in it.
fn search_as_text(title: Option<&str>, years: &[i32], sort_by: &str) -> Text<'static> {
    let mut query = sql("SELECT title, year FROM ").push(ident("example_books")).push(" WHERE year > :since");
    if let Some(title) = title {
        query = query.push(" AND title LIKE :title").bind("title", format!("%{title}%"));
    }
    if !years.is_empty() {
        query = query.push(" AND year IN (:years)").bind("years", list(years.to_vec()));
    }
    query.push(" ORDER BY ").push(ident(sort_by)).push(" LIMIT :n").bind("n", 10)
}

#[tokio::main]
async fn main() -> databases::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "sqlite::memory:".to_owned());
    let db = Database::connect(url).await?;
    create_tables(&db).await?;
    println!("made two tables and an index");

    let authors = Query::insert()
        .into_table("example_authors")
        .columns(["name"])
        .values_panic(["Ursula K. Le Guin".into()])
        .values_panic(["Stanisław Lem".into()])
        .take();
    println!("inserted {} authors", db.execute(authors, ()).await?.rows_affected());

    // `INSERT … SELECT`, with a name of ours in a custom expression beside values of the builder's.
    let books = [
        ("Ursula K. Le Guin", "The Dispossessed", Some(1974)),
        ("Ursula K. Le Guin", "The Lathe of Heaven", Some(1971)),
        ("Stanisław Lem", "Solaris", Some(1961)),
        ("Stanisław Lem", "Summa Technologiae", None),
    ];
    for (author, title, year) in books {
        let author_id: i64 = db
            .fetch_val(Query::select().column("id").from("example_authors").and_where(Expr::col("name").eq(author)), ())
            .await?;
        let insert = Query::insert()
            .into_table("example_books")
            .columns(["author_id", "title", "year"])
            .values_panic([author_id.into(), Expr::cust(":title"), year.into()])
            .take();
        db.execute(insert, params! { title }).await?;
    }
    println!("inserted {} books", books.len());

    for (title, since) in [(None, None), (Some("The"), None), (None, Some(1970)), (Some("Solaris"), Some(1970))] {
        let found: Vec<(String, Option<i32>)> = db.fetch_all(search(title, since), ()).await?;
        let titles: Vec<_> = found.iter().map(|(title, _)| title.as_str()).collect();
        println!("title like {title:?}, since {since:?}: {titles:?}");
    }

    for (title, years, sort_by) in [(None, &[][..], "title"), (Some("The"), &[1971, 1974][..], "year")] {
        let query = search_as_text(title, years, sort_by);
        // What was bound where it was pushed stands beside what is given here.
        let found: Vec<(String, i32)> = db.fetch_all(&query, params! { since: 1900 }).await?;
        println!("sorted by {sort_by}: {found:?}");
    }
    let mistake = search_as_text(None, &[], "title; DROP TABLE example_books");
    let error = db.fetch_all::<(String, i32)>(&mistake, params! { since: 1900 }).await.unwrap_err();
    println!("sorted by what is no column: {:?}", error.kind());

    // Joins and aggregates; a statement may be passed by value, by `&` and by `&mut`.
    let shelves = Query::select()
        .expr_as(Expr::col(("a", "name")), "author")
        .expr_as(Func::count(Expr::col(("b", "id"))), "books")
        .expr_as(Func::min(Expr::col(("b", "year"))), "first")
        .from_as("example_authors", "a")
        .join_as(JoinType::LeftJoin, "example_books", "b", Expr::col(("b", "author_id")).equals(("a", "id")))
        .group_by_col(("a", "name"))
        .order_by(("a", "name"), Order::Asc)
        .take();
    for shelf in db.fetch_all::<Shelf>(&shelves, ()).await? {
        println!("{}: {} books, the first of {:?}", shelf.author, shelf.books, shelf.first);
    }

    let update = Query::update()
        .table("example_books")
        .value("year", 1964)
        .and_where(Expr::col("year").is_null())
        .and_where(Expr::cust("title = :title"))
        .take();
    let changed = db.execute(update, params! { title: "Summa Technologiae" }).await?;
    println!("updated {} row", changed.rows_affected());

    let delete = Query::delete()
        .from_table("example_books")
        .and_where(Expr::col("author_id").in_subquery(
            Query::select().column("id").from("example_authors").and_where(Expr::cust("name = :name")).take(),
        ))
        .take();
    let deleted = db.execute(delete, params! { name: "Stanisław Lem" }).await?;
    let left: i64 = db.fetch_val(Query::select().expr(Expr::cust("count(*)")).from("example_books").take(), ()).await?;
    println!("deleted {} rows, {left} are left", deleted.rows_affected());

    db.execute(Table::drop().table("example_books").take(), ()).await?;
    db.execute(Table::drop().table("example_authors").take(), ()).await?;
    db.close().await
}
