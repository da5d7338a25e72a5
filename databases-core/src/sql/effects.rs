//! What calling a function or naming a pragma does beyond reading.

/// What a function call does to its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Write,
    Session,
}

/// The effect of calling `name`, a word or a quoted identifier with its quotes.
pub(super) fn of_function(name: &[u8]) -> Option<Effect> {
    let name = match name {
        [b'"' | b'`' | b'[', inner @ .., _] => inner,
        plain => plain,
    };
    // A cheap way out: most names in front of a `(` are neither.
    if !matches!(name.first().map(u8::to_ascii_lowercase), Some(b'd' | b'g' | b'l' | b'n' | b'p' | b'r' | b's')) {
        return None;
    }
    let starts =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()));
    let equals = |word: &&str| name.eq_ignore_ascii_case(word.as_bytes());
    if SESSION.iter().any(equals) {
        Some(Effect::Session)
    } else if WRITE_PREFIXES.iter().any(|prefix| starts(prefix)) || WRITE.iter().any(equals) {
        Some(Effect::Write)
    } else if SESSION_PREFIXES.iter().any(|prefix| starts(prefix)) {
        Some(Effect::Session)
    } else {
        None
    }
}

const SESSION: &[&str] = &[
    "set_config",
    "setseed",
    "get_lock",
    "release_lock",
    "release_all_locks",
    "load_extension",
    "dblink_connect",
    "dblink_connect_u",
    "dblink_disconnect",
    "dblink_open",
    "dblink_close",
];

/// Behind the prefixes of [`WRITE_PREFIXES`]: `pg_advisory_xact_lock` ends with the transaction.
const SESSION_PREFIXES: &[&str] = &["pg_advisory_", "pg_try_advisory_"];

const WRITE_PREFIXES: &[&str] =
    &["pg_advisory_xact_", "pg_try_advisory_xact_", "lo_", "pg_logical_", "pg_replication_", "pg_create_", "pg_drop_"];

const WRITE: &[&str] = &[
    "nextval",
    "setval",
    "pg_notify",
    "dblink_exec",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_switch_wal",
    "pg_promote",
    "pg_stat_reset",
    "pg_import_system_collations",
    "lowrite",
];

/// Whether `PRAGMA name`, with `= value` or `(value)` if `argument`, only reads.
///
/// <https://www.sqlite.org/pragma.html>
pub(super) fn pragma_reads(name: &[u8], argument: bool) -> bool {
    let name = match name {
        [b'"' | b'`' | b'[' | b'\'', inner @ .., _] => inner,
        plain => plain,
    };
    let is_in = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    is_in(PRAGMA_QUERIES) || (!argument && is_in(PRAGMA_GETTERS))
}

/// An argument says what to look at.
const PRAGMA_QUERIES: &[&str] = &[
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "collation_list",
    "compile_options",
    "database_list",
    "data_version",
    "freelist_count",
    "function_list",
    "module_list",
    "page_count",
    "pragma_list",
    "stats",
];

/// An argument sets something.
const PRAGMA_GETTERS: &[&str] = &[
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "cell_size_check",
    "checkpoint_fullfsync",
    "count_changes",
    "data_store_directory",
    "default_cache_size",
    "defer_foreign_keys",
    "empty_result_callbacks",
    "encoding",
    "foreign_keys",
    "full_column_names",
    "fullfsync",
    "hard_heap_limit",
    "ignore_check_constraints",
    "journal_mode",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "max_page_count",
    "mmap_size",
    "page_size",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "schema_version",
    "secure_delete",
    "short_column_names",
    "soft_heap_limit",
    "synchronous",
    "temp_store",
    "temp_store_directory",
    "threads",
    "trusted_schema",
    "user_version",
    "wal_autocheckpoint",
    "writable_schema",
];
