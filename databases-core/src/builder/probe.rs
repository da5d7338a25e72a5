//! A walk over a statement before sea-query writes it, which finds what the dialect cannot say.
//!
//! sea-query's writers panic at some of it and leave out the rest without a word: a `DISTINCT ON` that is not there gives
//! other rows, an upsert without its WHERE changes more of them. Nothing is written here but MySQL's RETURNING, which
//! sea-query does not write at all.

use std::cell::{Cell, RefCell};
use std::fmt;

use sea_query::{
    BinOper, ConditionHolder, EscapeBuilder, ExplainStatement, Expr, Func, JoinType, Oper, OperLeftAssocDecider,
    PrecedenceDecider, QueryBuilder, QueryStatementBuilder, Quote, QuotedBuilder, ReturningClause, SelectDistinct,
    SelectInto, SqlWriter, SubQueryOper, SubQueryStatement, TableRef, TableRefBuilder, Value,
};

use super::{NamedWriter, unsupported};
use crate::error::Result;
use crate::sql::Dialect;
use crate::sql::DialectKind::{self, MySql, Postgres, Sqlite};

/// Walks over `statement`; the outermost RETURNING is given back if `dialect` is MySQL's.
///
/// # Errors
///
/// `Unsupported` for what `dialect` cannot say.
pub(super) fn probe<S: QueryStatementBuilder>(statement: &S, dialect: Dialect) -> Result<Option<NamedWriter>> {
    let probe = Probe { kind: dialect.kind(), refused: Cell::new(None), returning: RefCell::new(None) };
    statement.build_collect_any_into(&probe, &mut Nowhere);
    match probe.refused.get() {
        Some(what) => Err(unsupported(dialect, what)),
        None => Ok(probe.returning.into_inner()),
    }
}

struct Probe {
    kind: DialectKind,
    /// The first thing that cannot be said.
    refused: Cell<Option<&'static str>>,
    /// MySQL's RETURNING as it was last met, which is that of the statement itself.
    returning: RefCell<Option<NamedWriter>>,
}

impl Probe {
    /// Notes that `what` is met, which only `able` can say.
    fn only_on(&self, able: &[DialectKind], what: &'static str) {
        if !able.contains(&self.kind) && self.refused.get().is_none() {
            self.refused.set(Some(what));
        }
    }

    fn write_returning(&self, clause: &ReturningClause) -> NamedWriter {
        let mut writer = NamedWriter::for_returning();
        writer.push_text(" RETURNING ");
        let comma = |writer: &mut NamedWriter, index| {
            if index > 0 {
                writer.push_text(", ");
            }
        };
        match clause {
            ReturningClause::All => writer.push_text("*"),
            ReturningClause::Columns(columns) => {
                for (index, column) in columns.iter().enumerate() {
                    comma(&mut writer, index);
                    sea_query::MysqlQueryBuilder.prepare_column_ref(column, &mut writer);
                }
            }
            ReturningClause::Exprs(exprs) => {
                for (index, expr) in exprs.iter().enumerate() {
                    comma(&mut writer, index);
                    sea_query::MysqlQueryBuilder.prepare_expr(expr, &mut writer);
                }
            }
        }
        writer
    }
}

impl QueryBuilder for Probe {
    fn prepare_expr(&self, expr: &Expr, sql: &mut impl SqlWriter) {
        // Values are many, and can all be said; going over them would clone them.
        if !matches!(expr, Expr::Value(_) | Expr::Values(_)) {
            self.prepare_expr_common(expr, sql);
        }
    }

    fn prepare_value(&self, _: Value, _: &mut impl SqlWriter) {}

    fn prepare_query_statement(&self, query: &SubQueryStatement, sql: &mut impl SqlWriter) {
        match query {
            SubQueryStatement::SelectStatement(statement) => self.prepare_select_statement(statement, sql),
            SubQueryStatement::InsertStatement(statement) => self.prepare_insert_statement(statement, sql),
            SubQueryStatement::UpdateStatement(statement) => self.prepare_update_statement(statement, sql),
            SubQueryStatement::DeleteStatement(statement) => self.prepare_delete_statement(statement, sql),
            SubQueryStatement::WithStatement(statement) => self.prepare_with_query(statement, sql),
        }
    }

    /// Each writer takes from it what its server has.
    fn prepare_explain_statement(&self, _: &ExplainStatement, _: &mut impl SqlWriter) {}

    fn prepare_select_distinct(&self, distinct: &SelectDistinct, _: &mut impl SqlWriter) {
        match distinct {
            SelectDistinct::DistinctOn(_) => self.only_on(&[Postgres], "DISTINCT ON"),
            SelectDistinct::DistinctRow => self.only_on(&[MySql], "DISTINCTROW"),
            _ => {}
        }
    }

    fn prepare_select_into(&self, _: &SelectInto, _: &mut impl SqlWriter) {
        self.only_on(&[Postgres], "SELECT INTO a table");
    }

    fn prepare_join_type(&self, join: &JoinType, _: &mut impl SqlWriter) {
        if matches!(join, JoinType::FullOuterJoin) {
            self.only_on(&[Postgres, Sqlite], "FULL OUTER JOIN");
        }
    }

    fn prepare_sub_query_oper(&self, operator: &SubQueryOper, _: &mut impl SqlWriter) {
        if !matches!(operator, SubQueryOper::Exists) {
            self.only_on(&[Postgres, MySql], "ANY, SOME and ALL of a subquery");
        }
    }

    fn prepare_bin_oper(&self, operator: &BinOper, _: &mut impl SqlWriter) {
        match operator {
            BinOper::PgOperator(_) => self.only_on(&[Postgres], "an operator of PostgreSQL"),
            BinOper::SqliteOperator(_) => self.only_on(&[Sqlite], "an operator of SQLite"),
            _ => {}
        }
    }

    fn prepare_function_name(&self, function: &Func, _: &mut impl SqlWriter) {
        if matches!(function, Func::PgFunction(_)) {
            self.only_on(&[Postgres], "a function of PostgreSQL");
        }
    }

    fn prepare_update_join(&self, from: &[TableRef], _: &ConditionHolder, _: &mut impl SqlWriter) {
        if from.len() > 1 {
            self.only_on(&[Postgres, Sqlite], "an UPDATE with more than one other table");
        }
    }

    fn prepare_on_conflict_condition(&self, condition: &ConditionHolder, sql: &mut impl SqlWriter) {
        if !condition.is_empty() {
            self.only_on(&[Postgres, Sqlite], "a condition on an upsert");
        }
        self.prepare_condition(condition, "WHERE", sql);
    }

    fn insert_default_values(&self, rows: u32, _: &mut impl SqlWriter) {
        if rows > 1 {
            self.only_on(&[Postgres, MySql], "several rows of defaults");
        }
    }

    fn prepare_returning(&self, returning: &Option<ReturningClause>, _: &mut impl SqlWriter) {
        if self.kind == MySql {
            *self.returning.borrow_mut() = returning.as_ref().map(|clause| self.write_returning(clause));
        }
    }
}

impl QuotedBuilder for Probe {
    fn quote(&self) -> Quote {
        Quote::new(b'"')
    }
}

impl EscapeBuilder for Probe {}

impl TableRefBuilder for Probe {}

// The two decide on brackets, which nobody reads.
impl PrecedenceDecider for Probe {
    fn inner_expr_well_known_greater_precedence(&self, _: &Expr, _: &Oper) -> bool {
        true
    }
}

impl OperLeftAssocDecider for Probe {
    fn well_known_left_associative(&self, _: &BinOper) -> bool {
        true
    }
}

/// Takes what the walk writes on its way.
struct Nowhere;

impl fmt::Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

// sea-query wants its writers to be `ToString`.
impl fmt::Display for Nowhere {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl SqlWriter for Nowhere {
    fn push_param<T: QueryBuilder>(&mut self, _: Value, _: &T) {}

    fn as_writer(&mut self) -> &mut dyn fmt::Write {
        self
    }
}
