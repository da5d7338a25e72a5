//! The scanner over random texts: no panic, errors with a place inside the text, and what comes out scans again.
//!
//! `cargo +nightly fuzz run scanner`. The first byte chooses dialect and modes, the second the shapes of the values.

#![no_main]

use databases_core::sql::{Dialect, DialectKind, ItemShape, Shape, Template, Values, scan, split_script};
use libfuzzer_sys::fuzz_target;

struct Any<'a> {
    template: &'a Template,
    seed: usize,
}

impl Values for Any<'_> {
    fn len(&self) -> usize {
        self.template.names().len()
    }

    fn name(&self, index: usize) -> &str {
        self.template.names().nth(index).unwrap_or_default()
    }

    fn shape(&self, index: usize) -> Shape {
        let len = self.seed / 5 % 4;
        match (self.seed + if self.seed == 0 { 0 } else { index }) % 5 {
            1 => Shape::Sequence { len },
            2 => Shape::List { len, tuples: false },
            3 => Shape::List { len, tuples: true },
            _ => Shape::Scalar,
        }
    }

    fn item_shape(&self, index: usize, _item: usize) -> ItemShape {
        match self.shape(index) {
            Shape::List { tuples: true, .. } => ItemShape::Tuple(2),
            _ => ItemShape::Scalar,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [modes, seed, text @ ..] = data else { return };
    let Ok(sql) = std::str::from_utf8(text) else { return };
    let flag = |bit: u8| modes & bit != 0;
    let dialect = match modes % 3 {
        0 => Dialect::POSTGRES.with_standard_conforming_strings(flag(4)),
        1 => Dialect::MYSQL.with_no_backslash_escapes(flag(4)).with_ansi_quotes(flag(8)),
        _ => Dialect::SQLITE,
    };
    let template = match scan(sql, dialect) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.at().is_some_and(|at| at < sql.len()));
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let statements = split_script(sql, dialect).expect("what scans can be split");
    assert_eq!(statements.len(), template.statements());
    let _ = (template.target_table(), template.class(), template.verb());
    match template.bind(&Any { template: &template, seed: usize::from(*seed) }, false) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(bound) if sql.contains("\\:") => drop(bound),
        Ok(bound) => {
            let again = scan(&bound.sql, dialect).expect("what we write scans");
            // `:a:b` is `?:b` on MySQL.
            assert!(again.names().len() == 0 || dialect.kind() == DialectKind::MySql && bound.sql.contains("?:"));
        }
    }
});
