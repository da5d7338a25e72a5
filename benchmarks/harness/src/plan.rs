//! What one side is to do.

use std::path::Path;

use crate::work::{self, Work};
use crate::{Error, Result};

/// A family of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite, in a file or in memory.
    Sqlite,
}

/// How parameters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `:name`
    Named,
    /// `$1`
    Dollar,
    /// `?`
    Question,
}

/// What one side is to do: arguments `SIDE WORK TASKS CONNECTIONS` and, since it holds a password, `BENCH_URL` in the environment.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The side's name.
    pub side: String,
    /// What it does.
    pub work: Work,
    /// How many tasks do it at the same time.
    pub tasks: usize,
    /// How many connections they share.
    pub connections: usize,
    /// Where.
    pub url: String,
}

impl Plan {
    /// Reads the arguments of the process.
    ///
    /// # Errors
    ///
    /// If one is missing or wrong.
    pub fn from_args() -> Result<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [side, work, tasks, connections] = &args[..] else {
            return Err("expected SIDE WORK TASKS CONNECTIONS; scripts/bench runs this program".into());
        };
        let url = std::env::var("BENCH_URL").map_err(|_| "BENCH_URL is not set; scripts/bench sets it")?;
        Ok(Self {
            side: side.clone(),
            work: work.parse()?,
            tasks: tasks.parse()?,
            connections: connections.parse()?,
            url,
        })
    }

    /// The family of the server.
    pub fn server(&self) -> Server {
        match self.url.split(':').next() {
            Some("sqlite") => Server::Sqlite,
            Some("mysql" | "mariadb") => Server::MySql,
            _ => Server::Postgres,
        }
    }

    /// The file of a SQLite database; none if it is in memory.
    pub fn sqlite_file(&self) -> Option<&Path> {
        let file = self.url.strip_prefix("sqlite:///")?;
        Some(Path::new(file.split('?').next().unwrap_or(file)))
    }

    /// SQLite's `synchronous`, as in the URL.
    pub fn synchronous(&self) -> &str {
        if self.url.ends_with("synchronous=full") { "full" } else { "normal" }
    }

    /// The table that belongs to this side alone.
    pub fn own_table(&self) -> String {
        format!("bench_own_{}", self.side.replace('-', "_"))
    }

    /// The statement of this plan's work.
    pub fn sql(&self, style: Style) -> String {
        self.sql_of(self.work, style)
    }

    /// The statement of `work`.
    pub fn sql_of(&self, work: Work, style: Style) -> String {
        in_style(&work.sql(&self.own_table()), style)
    }

    /// What has to be run before the first round: the table of this side, and all tables for a database in memory.
    pub fn preparation(&self) -> Option<String> {
        if self.work.writes() {
            Some(work::own_table(self.server(), self.work, &self.own_table()))
        } else if self.server() == Server::Sqlite && self.sqlite_file().is_none() {
            Some(work::tables(Server::Sqlite, 3))
        } else {
            None
        }
    }

    /// What has to be run before each round.
    pub fn reset(&self) -> Option<String> {
        let verb = if self.server() == Server::Sqlite { "DELETE FROM" } else { "TRUNCATE TABLE" };
        self.work.writes().then(|| format!("{verb} {}", self.own_table()))
    }

    /// Statements that make what all sides read, with a great table of `BENCH_STREAMED` rows, a power of ten.
    ///
    /// # Errors
    ///
    /// If `BENCH_STREAMED` is no number.
    pub fn tables(&self) -> Result<String> {
        let rows: u64 = std::env::var("BENCH_STREAMED").map_or(Ok(1_000_000), |rows| rows.parse())?;
        Ok(work::tables(self.server(), rows.ilog10() as usize))
    }

    /// The error of a side that does not do this work.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn unknown<T>(&self) -> Result<T> {
        Err(Error::from(format!("{} does not do {} on {:?}", self.side, self.work.name(), self.server())))
    }
}

/// Replaces `:name` parameters of a text of ours, in which no literal holds a colon.
fn in_style(sql: &str, style: Style) -> String {
    if style == Style::Named {
        return sql.into();
    }
    let mut parts = sql.split(':');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (ordinal, part) in (1..).zip(parts) {
        match style {
            Style::Question => text.push('?'),
            _ => text.push_str(&format!("${ordinal}")),
        }
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_in_order() {
        let sql = "INSERT INTO t VALUES (:name, :n_1)";
        assert_eq!(in_style(sql, Style::Dollar), "INSERT INTO t VALUES ($1, $2)");
        assert_eq!(in_style(sql, Style::Question), "INSERT INTO t VALUES (?, ?)");
    }
}
