//! What about a table makes one INSERT of many rows another thing than many INSERTs of one.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tokio_postgres::Client;

use crate::batch::is_true;
use crate::cache::Prepared;

/// Whether rows may be inserted into the table named by `$1` many at a time: a table or its partitions, without
///
/// - row security, triggers and rules: they see how many statements there are, and which rows are there when they run;
/// - foreign keys of the table to itself, constraints that can be deferred: they are checked at the end of a statement;
/// - foreign keys to the table that change other tables with it;
/// - functions written in SQL or a procedural language in a default, generated column, constraint or index, which may
///   look at the table, and `statement_timestamp()`.
pub(super) const IS_PLAIN: &str = "\
SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = ANY (t.oids)) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = ANY (t.oids) AND (relkind NOT IN ('r', 'p') OR relrowsecurity)) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = ANY (t.oids)) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = ANY (t.oids) AND (NOT tgisinternal OR tgfoid IN (\
'pg_catalog.\"RI_FKey_cascade_upd\"'::pg_catalog.regproc, 'pg_catalog.\"RI_FKey_setnull_upd\"'::pg_catalog.regproc, \
'pg_catalog.\"RI_FKey_setdefault_upd\"'::pg_catalog.regproc))) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = ANY (t.oids) \
AND (confrelid = ANY (t.oids) OR (condeferrable AND contype IN ('p', 'u', 'x')))) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_attrdef WHERE adrelid = ANY (t.oids) \
AND pg_catalog.pg_get_expr(adbin, adrelid) LIKE '%statement_timestamp%') \
AND NOT EXISTS (SELECT FROM (\
SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass AS class, oid FROM pg_catalog.pg_attrdef WHERE adrelid = ANY (t.oids) \
UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid FROM pg_catalog.pg_constraint WHERE conrelid = ANY (t.oids) \
UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_attribute AS a \
JOIN pg_catalog.pg_constraint AS c ON c.contypid = a.atttypid WHERE a.attrelid = ANY (t.oids) AND a.attnum > 0 \
UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid FROM pg_catalog.pg_index WHERE indrelid = ANY (t.oids)\
) AS o JOIN pg_catalog.pg_depend AS d ON d.classid = o.class AND d.objid = o.oid \
AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
JOIN pg_catalog.pg_proc AS p ON p.oid = d.refobjid \
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang WHERE l.lanname NOT IN ('c', 'internal')) \
FROM (SELECT ARRAY(SELECT pg_catalog.to_regclass($1)::pg_catalog.oid \
UNION SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1))) AS oids) AS t";

/// What was last found of a statement's table. Whoever sends many rows at once has it looked at again in the same
/// breath, since others may change the table, and `search_path` which one it is.
#[derive(Debug, Default)]
pub(crate) struct TableState {
    plain: AtomicU8,
    copied: AtomicU8,
}

const YES: u8 = 1;
const NO: u8 = 2;

impl TableState {
    /// `None` if nobody has looked yet.
    pub(super) fn is_plain(&self) -> Option<bool> {
        match self.plain.load(Relaxed) {
            YES => Some(true),
            NO => Some(false),
            _ => None,
        }
    }

    pub(super) fn set_plain(&self, plain: bool) {
        self.plain.store(if plain { YES } else { NO }, Relaxed);
    }

    /// Whether the rows may go by COPY as far as is known.
    pub(super) fn may_copy(&self) -> bool {
        self.copied.load(Relaxed) != NO
    }

    pub(super) fn set_copied(&self, copied: bool) {
        self.copied.store(if copied { YES } else { NO }, Relaxed);
    }
}

/// Looks at `table`, with [`IS_PLAIN`] as it was prepared.
pub(super) async fn is_plain(client: &Client, look: &Prepared, table: &str) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one(&look.statement, &[&table]).await?;
    Ok(is_true(&look.plan, row))
}
