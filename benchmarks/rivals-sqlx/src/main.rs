//! sqlx, native and `Any`, and sea-orm on it.

mod any;
mod native;
mod sea;
mod toolbench;

use harness::{Plan, Result, Server};

fn main() -> Result<()> {
    let plan = Plan::from_args()?;
    match (plan.side.as_str(), plan.server()) {
        ("sqlx", Server::Postgres) if plan.work.is_toolbench() => harness::serve::<toolbench::Own>(&plan, None),
        ("sqlx", Server::Postgres) => harness::serve::<native::Postgres>(&plan, None),
        ("sqlx", Server::MySql) => harness::serve::<native::MySql>(&plan, None),
        ("sqlx", Server::Sqlite) => harness::serve::<native::Sqlite>(&plan, None),
        ("sqlx-any", _) => harness::serve::<any::Any>(&plan, None),
        ("sea-orm", _) => harness::serve::<sea::Orm>(&plan, None),
        _ => plan.unknown(),
    }
}
