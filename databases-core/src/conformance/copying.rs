//! COPY, where there is one.

use super::{Fixture, fails};
use crate::error::{ErrorKind, Result};
use crate::executor::Executor;
use crate::params;

pub async fn rows_are_copied_or_the_backend_says_why_not(f: &Fixture) -> Result<()> {
    let db = f.pool_with(|options| options.max_connections = Some(1))?;
    let t = f.notes(&db).await?;
    let rows = || (0..2_000).map(|id: i64| params! { id, body: "x" });
    if f.capabilities().copies {
        assert_eq!(db.copy_rows(&t, ["id", "body"], rows()).await?, 2_000);
        let mut copy = db.copy_in(format!("COPY {t} FROM STDIN")).await?;
        copy.send("1\tx\n").await?;
        assert_eq!(copy.finish().await?, 1);
        assert_eq!(db.fetch_val::<i64>(format!("SELECT count(*) FROM {t}"), ()).await?, 2_001);
    } else {
        // Nothing is waited for to find that out.
        let only = db.acquire().await?;
        let error = fails(db.copy_rows(&t, ["id", "body"], rows()).await, ErrorKind::Unsupported);
        drop(only);
        assert!(error.hint().is_some_and(|hint| hint.contains("execute_many")), "{error:?}");
        assert_eq!(db.execute_many(format!("INSERT INTO {t} (id, body) VALUES (:id, :body)"), rows()).await?, 2_000);
    }
    Ok(())
}
