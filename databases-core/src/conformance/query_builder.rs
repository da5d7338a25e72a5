//! sea-query statements as queries.

use sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, Order, Query, Table};

use super::Fixture;
use crate::error::Result;
use crate::executor::Executor;
use crate::params;

pub async fn built_statements_run_on_every_backend(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let name = f.table("built");
    let t = || Alias::new(&name);
    let (id, body) = (|| Alias::new("id"), || Alias::new("body"));
    let create = Table::create()
        .table(t())
        .col(ColumnDef::new(id()).big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new(body()).text())
        .take();
    db.execute(&create, ()).await?;
    let insert = Query::insert()
        .into_table(t())
        .columns([body()])
        .values_panic(["it's 💾".into()])
        .values_panic(["b".into()])
        .values_panic([Option::<String>::None.into()])
        .take();
    assert_eq!(db.execute(&insert, ()).await?.rows_affected(), 3);
    let select = Query::select()
        .columns([id(), body()])
        .from(t())
        .and_where(Expr::col(id()).is_in([1_i64, 3]))
        .order_by(id(), Order::Desc)
        .take();
    let rows: Vec<(i64, Option<String>)> = db.fetch_all(&select, ()).await?;
    assert_eq!(rows, [(3, None), (1, Some("it's 💾".into()))]);
    let update = Query::update().table(t()).value(body(), "new").and_where(Expr::col(id()).eq(2_i64)).take();
    assert_eq!(db.execute(&update, ()).await?.rows_affected(), 1);
    let delete = Query::delete().from_table(t()).and_where(Expr::col(body()).eq("new")).take();
    assert_eq!(db.execute(delete, ()).await?.rows_affected(), 1);
    assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {name}"), ()).await?, 2);
    Ok(())
}

pub async fn names_in_built_statements_are_parameters(f: &Fixture) -> Result<()> {
    let db = f.pool()?;
    let t = f.notes(&db).await?;
    db.execute(format!("INSERT INTO {t} (id, body) VALUES (1, 'a'), (2, 'b')"), ()).await?;
    let select = Query::select()
        .column(Alias::new("body"))
        .from(Alias::new(&t))
        .and_where(Expr::cust("id = :id"))
        .and_where(Expr::col(Alias::new("body")).ne(":id ? $1"))
        .take();
    assert_eq!(db.fetch_val::<String>(&select, params! { id: 2 }).await?, "b");
    Ok(())
}

pub async fn built_statements_are_kept_prepared(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    for n in 0..50_i64 {
        let insert = Query::insert()
            .into_table(Alias::new(&t))
            .columns([Alias::new("id"), Alias::new("body")])
            .values_panic([n.into(), "x".into()])
            .take();
        db.execute(insert, ()).await?;
    }
    let sum = Query::select().expr(Expr::col(Alias::new("id")).sum()).from(Alias::new(&t)).take();
    assert_eq!(db.fetch_val::<i64>(&sum, ()).await?, 1_225);
    Ok(())
}
