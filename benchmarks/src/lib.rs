//! This crate, the bare drivers, and what is built on them.
//!
//! `ours…` is this crate, `bare…` a driver with a prepared statement; the word behind it names the way where there are several.

mod bare_mysql;
mod bare_postgres;
mod bare_sqlite;

mod deadpool;
mod diesel;
mod ours;
mod rewrite;
mod toolbench;

use harness::{PeakAlloc, Plan, Result, Server, Work};

/// Does what the arguments of the process say. `memory` is its allocator, if that counts.
///
/// # Errors
///
/// Whatever fails first.
pub fn serve(memory: Option<&PeakAlloc>) -> Result<()> {
    let plan = Plan::from_args()?;
    if matches!(plan.work, Work::RewriteHit | Work::RewriteMiss) {
        return harness::serve::<rewrite::Rewrite>(&plan, memory);
    }
    let family = plan.side.split('-').next().unwrap_or_default();
    match (family, plan.server()) {
        ("setup", _) => ours::make_tables(&plan),
        ("ours", _) => harness::serve::<ours::Ours>(&plan, memory),
        ("bare", Server::Postgres) => harness::serve::<bare_postgres::Bare>(&plan, memory),
        ("bare", Server::MySql) => harness::serve::<bare_mysql::Bare>(&plan, memory),
        ("bare", Server::Sqlite) => harness::serve::<bare_sqlite::Bare>(&plan, memory),
        ("deadpool", Server::Postgres) => harness::serve::<deadpool::Pooled>(&plan, memory),
        ("diesel", Server::Postgres) => harness::serve::<diesel::Postgres>(&plan, memory),
        ("diesel", Server::MySql) => harness::serve::<diesel::MySql>(&plan, memory),
        _ => plan.unknown(),
    }
}
