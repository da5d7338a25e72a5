//! Types that are looked up when a connection is opened.
//!
//! The driver looks a type up when a statement is prepared that has a parameter or a column of it, and keeps what it has
//! learnt for as long as the connection lives. So one statement with a parameter per type is prepared, and thrown away.

use databases_core::{Error, ErrorKind, Result};

use crate::connection::PgConnection;

impl PgConnection {
    /// Looks the types up; `names` are written as in SQL.
    ///
    /// # Errors
    ///
    /// `Url` for what is no name; what the server says of a name that it does not know.
    pub(crate) async fn preload(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut sql = "SELECT ".to_owned();
        for (index, name) in names.iter().enumerate() {
            if !is_name(name) {
                let message = format!("preload_types: {name:?} is no name of a type");
                return Err(Error::new(ErrorKind::Url, message)
                    .with_hint("mood, app.mood, \"My Mood\" and, for the arrays of it, mood[] are names"));
            }
            let comma = if index == 0 { "" } else { ", " };
            sql.push_str(&format!("{comma}${}::{name}", index + 1));
        }
        let prepared = self.parse(&sql.into(), Vec::new(), false, false).await;
        prepared.map(drop).map_err(|error| error.context("preload_types"))
    }
}

/// Whether `name` is nothing but identifiers with points between them, and `[]` at its end where it is an array's.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix("[]").unwrap_or(name);
    let mut rest = name;
    loop {
        let Some(behind) = identifier(rest) else { return false };
        match behind.strip_prefix('.') {
            Some(next) => rest = next,
            None => return behind.is_empty(),
        }
    }
}

/// What follows an identifier, plain or quoted; `None` if there is none.
fn identifier(text: &str) -> Option<&str> {
    if let Some(mut quoted) = text.strip_prefix('"') {
        let start = quoted.len();
        loop {
            let (part, behind) = quoted.split_once('"')?;
            if part.contains('\0') {
                return None;
            }
            match behind.strip_prefix('"') {
                Some(next) => quoted = next,
                None => return (behind.len() + 1 < start).then_some(behind),
            }
        }
    }
    let is_start = |letter: char| letter.is_alphabetic() || letter == '_';
    let len =
        text.find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '$'))).unwrap_or(text.len());
    text.starts_with(is_start).then(|| &text[len..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_names() {
        for name in ["mood", "app.mood", "_m$1", "\"My Mood\"", "app.\"a\"\"b\"", "mood[]", "a.b.c", "größe", "\";\""]
        {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "1a",
            "a b",
            "a;b",
            "a--",
            "\"",
            "\"\"",
            "\"a",
            "\"a\"b",
            "a)",
            "'a'",
            "a[1]",
            "[]",
            "a\0",
            "\"a\0\"",
            "a[][]",
            "a,b",
            "numeric(1,2)",
            "a/**/",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
