//! What the text of a statement tells of its answer.

use databases_core::sql::{ScriptStatement, StatementClass, Template, Verb};

use crate::keys::Target;

/// The table of an INSERT or REPLACE whose returned rows were all inserted: the one row of ON DUPLICATE KEY UPDATE may
/// have been there before.
pub(crate) fn inserted_table(template: &Template) -> Option<String> {
    let inserts = template.has_returning() && matches!(template.verb(), Verb::Insert | Verb::Replace);
    if !inserts || contains(template.sql(), b"duplicate") {
        return None;
    }
    Target::of(template).map(|target| target.table)
}

/// Whether a failed statement may have opened a transaction on its way.
pub(crate) fn may_begin(template: &Template) -> bool {
    let class = template.class();
    template.verb() == Verb::Call
        || !matches!(class, StatementClass::Read | StatementClass::Write | StatementClass::Ddl)
}

/// Whether a statement of a script gives one result: not what calls others, as CALL, EXECUTE and compound statements do.
pub(crate) fn gives_one_result(statement: &ScriptStatement<'_>) -> bool {
    match statement.class {
        StatementClass::Read | StatementClass::Write | StatementClass::Ddl | StatementClass::TxControl => true,
        StatementClass::Session => !contains(statement.sql, b"execute"),
        _ => false,
    }
}

pub(crate) fn names_sql_mode(sql: &str) -> bool {
    contains(sql, b"sql_mode")
}

/// Whether the id in the OK packet may not be that of an inserted row: `LAST_INSERT_ID(7)` makes 7 the id.
///
/// A row that ON DUPLICATE KEY UPDATE leaves as it was counts as 1 too, but then there is no id (tried on MariaDB 10.11
/// and MySQL 9.7).
pub(crate) fn hides_id(sql: &str) -> bool {
    contains(sql, b"last_insert_id")
}

pub(crate) fn contains(sql: &str, word: &[u8]) -> bool {
    sql.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
