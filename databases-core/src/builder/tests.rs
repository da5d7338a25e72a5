use sea_query::extension::postgres::{Extension, PgBinOper, PgFunc, Type};
use sea_query::extension::sqlite::SqliteExpr;
use sea_query::{
    ColumnDef, CommonTableExpression, Expr, ExprTrait, ForeignKey, Index, IndexStatement, JoinType, OnConflict,
    Query as Build, QueryStatement, SchemaStatement, Table, TableStatement, WithClause, WithQuery,
};

use super::*;

const ALL: [Dialect; 3] = [Dialect::POSTGRES, Dialect::MYSQL, Dialect::SQLITE];

fn insert() -> sea_query::InsertStatement {
    Build::insert().into_table("t").columns(["a", "b"]).values_panic([1.into(), "x".into()]).to_owned()
}

fn text(query: impl IntoQuery, dialect: Dialect) -> String {
    query.into_query(dialect).unwrap().text().to_owned()
}

/// Asserts that `query` is `Unsupported` on `refusing` and can be written elsewhere.
#[track_caller]
fn refused_on<Q: IntoQuery + Clone>(query: &Q, refusing: &[Dialect], why: &str) {
    for dialect in ALL {
        match query.clone().into_query(dialect) {
            Ok(query) => assert!(!refusing.contains(&dialect), "{dialect:?} wrote {}", query.text()),
            Err(error) => {
                assert!(refusing.contains(&dialect), "{dialect:?}: {error}");
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotSent));
                assert!(error.to_string().contains(why), "{error}");
            }
        }
    }
}

const NOT_POSTGRES: &[Dialect] = &[Dialect::MYSQL, Dialect::SQLITE];

#[test]
fn values_become_named_parameters() {
    let query = insert().into_query(Dialect::POSTGRES).unwrap();
    assert_eq!(query.text(), r#"INSERT INTO "t" ("a", "b") VALUES (:_databases_1, :_databases_2)"#);
    assert_eq!(query.more.unwrap().built.names().collect::<Vec<_>>(), ["_databases_1", "_databases_2"]);
}

#[test]
fn names_in_custom_expressions_stay() {
    let select = Build::select()
        .column("a")
        .from("t")
        .and_where(Expr::col("a").gt(5))
        .and_where(Expr::cust("b = :name"))
        .to_owned();
    assert_eq!(text(&select, Dialect::SQLITE), r#"SELECT "a" FROM "t" WHERE "a" > :_databases_1 AND (b = :name)"#);
}

#[test]
fn returning_is_written_for_mariadb() {
    let mut insert = insert();
    insert.returning(Build::returning().exprs([Expr::col("a").add(1), Expr::cust(":n")]));
    let query = (&mut insert).into_query(Dialect::MYSQL).unwrap();
    assert_eq!(
        query.text(),
        "INSERT INTO `t` (`a`, `b`) VALUES (:_databases_1, :_databases_2) RETURNING `a` + :_databases_returning_1, :n"
    );
    assert_eq!(query.more.unwrap().built.len(), 3);
    let query = insert.into_query(Dialect::SQLITE).unwrap();
    assert!(query.text().ends_with(r#"RETURNING "a" + :_databases_3, :n"#));
    let delete = Build::delete().from_table("t").returning_col(("t", "a")).to_owned();
    assert_eq!(text(&delete, Dialect::MYSQL), "DELETE FROM `t` RETURNING `t`.`a`");
    assert!(text(QueryStatement::Delete(delete), Dialect::MYSQL).ends_with("RETURNING `t`.`a`"));
}

#[test]
fn what_a_dialect_cannot_say_in_a_query_is_an_error() {
    let select = || Build::select().column("a").from("t").to_owned();
    refused_on(&select().distinct_on(["a"]).to_owned(), NOT_POSTGRES, "DISTINCT ON");
    let join = select().join(JoinType::FullOuterJoin, "u", Expr::cust("true")).to_owned();
    refused_on(&join, &[Dialect::MYSQL], "FULL OUTER JOIN");
    let any = select().and_where(Expr::col("a").eq(Expr::any(select()))).to_owned();
    refused_on(&any, &[Dialect::SQLITE], "ANY");
    let ilike = select().and_where(Expr::col("a").binary(PgBinOper::ILike, "x")).to_owned();
    refused_on(&ilike, NOT_POSTGRES, "operator of PostgreSQL");
    let glob = select().and_where(Expr::col("a").glob("x")).to_owned();
    refused_on(&glob, &[Dialect::POSTGRES, Dialect::MYSQL], "operator of SQLite");
    let function = select().expr(PgFunc::starts_with("a", "b")).to_owned();
    refused_on(&function, NOT_POSTGRES, "function of PostgreSQL");
    // Wherever it stands.
    let nested =
        Build::select().expr(Expr::case(Expr::exists(select().and_where(Expr::exists(ilike)).take()), 1)).take();
    refused_on(&nested, NOT_POSTGRES, "operator of PostgreSQL");
    let mut upsert = insert();
    upsert.on_conflict(OnConflict::column("a").update_column("b").to_owned());
    refused_on(&upsert, &[], "");
    upsert.on_conflict(OnConflict::column("a").update_column("b").action_and_where(Expr::col("b").ne(1)).to_owned());
    refused_on(&upsert, &[Dialect::MYSQL], "condition on an upsert");
    let defaults = Build::insert().into_table("t").or_default_values_many(2).to_owned();
    refused_on(&defaults, &[Dialect::SQLITE], "several rows of defaults");
    let update = Build::update().table("t").value("a", 1).from("u").from("v").to_owned();
    refused_on(&update, &[Dialect::MYSQL], "more than one other table");
    let update = Build::update().table("t").value("a", 1).returning_all().to_owned();
    refused_on(&update, &[Dialect::MYSQL], "a RETURNING of this statement");
}

#[test]
fn what_a_dialect_cannot_say_of_the_schema_is_an_error() {
    let column = |column: &mut ColumnDef| Table::create().table("t").col(column.to_owned()).to_owned();
    refused_on(&column(ColumnDef::new("a").inet()), NOT_POSTGRES, "the type of the column `a`");
    refused_on(&column(ColumnDef::new("a").year()), &[Dialect::POSTGRES, Dialect::SQLITE], "the type of the column");
    refused_on(&column(ColumnDef::new("a").bit(Some(3))), &[Dialect::SQLITE], "the type of the column");
    refused_on(&column(ColumnDef::new("a").text().auto_increment()), &[Dialect::POSTGRES], "auto-increment");
    refused_on(&Table::truncate().table("t").to_owned(), &[Dialect::SQLITE], "TRUNCATE");
    let key = ForeignKey::create().name("k").from("t", "a").to("u", "id").to_owned();
    refused_on(&key, &[Dialect::SQLITE], "a foreign key of a table that is there");
    let drop = ForeignKey::drop().name("k").table("t").to_owned();
    refused_on(&drop, &[Dialect::SQLITE], "a foreign key of a table that is there");
    let index = Index::create().name("i\" ON u(b); --").table("t").col("a").to_owned();
    refused_on(&index, &[Dialect::POSTGRES, Dialect::SQLITE], "in the name of an index");
    refused_on(&Type::create().as_enum("mood").values(["ok"]).to_owned(), NOT_POSTGRES, "a type of its own");
    refused_on(&Type::drop().name("mood").to_owned(), NOT_POSTGRES, "a type of its own");
    refused_on(&Type::alter().name("mood").add_value("bad"), NOT_POSTGRES, "a type of its own");
    refused_on(&Extension::create().name("ltree").to_owned(), NOT_POSTGRES, "an extension");
    refused_on(&Extension::drop().name("ltree").to_owned(), NOT_POSTGRES, "an extension");
}

#[test]
fn a_panic_of_the_query_builder_is_an_error() {
    let alter = Table::alter().table("t").modify_column(ColumnDef::new("a").text()).to_owned();
    refused_on(&alter, &[Dialect::SQLITE], "modifying table column");
    let drop = Index::drop().name("i").table("t").if_exists().to_owned();
    refused_on(&drop, &[Dialect::MYSQL], "IF EXISTS");
    refused_on(&IndexStatement::Drop(drop), &[Dialect::MYSQL], "IF EXISTS");
    let alter = SchemaStatement::TableStatement(TableStatement::Alter(Table::alter().table("t").to_owned()));
    refused_on(&alter, &ALL, "No alter option found");
    refused_on(&WithQuery::new(), &ALL, "common table expression");
    let cte = CommonTableExpression::new().query(Build::select().expr(1).take()).to_owned();
    let select = Build::select().expr(1).with_cte(WithClause::new().cte(cte).to_owned()).to_owned();
    refused_on(&select, &ALL, "cannot write this statement");
}

#[test]
fn statements_go_by_value_by_reference_and_as_a_member_of_their_kind() {
    let mut table = Table::create().table("t").col(ColumnDef::new("a").text().default("it's :x")).to_owned();
    let by_reference = text(&table, Dialect::SQLITE);
    assert_eq!(text(&mut table, Dialect::SQLITE), by_reference);
    assert_eq!(text(TableStatement::Create(table.clone()), Dialect::SQLITE), by_reference);
    assert_eq!(text(SchemaStatement::TableStatement(TableStatement::Create(table)), Dialect::SQLITE), by_reference);
    let explain = sea_query::ExplainStatement::new().statement(Build::select().expr(Expr::val(1)).to_owned());
    assert_eq!(text(&explain, Dialect::POSTGRES), "EXPLAIN SELECT :_databases_1");
}
