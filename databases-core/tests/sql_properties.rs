//! Properties of the scanner over random texts, in every dialect and session mode. `DATABASES_SCANNER_CASES` says how many texts
//! each is tried with.

use databases_core::sql::{
    ArgPath, Dialect, DialectKind, ItemShape, RewriteOptions, Shape, SqlErrorKind, Template, TemplateCache, Values,
    rewrite, scan, split_script,
};
use proptest::prelude::*;

/// Gives every name that a text asks for a value of one of several shapes.
struct Any<'a> {
    template: &'a Template,
    /// Chooses the shapes; 0 makes all of them scalars.
    seed: u32,
}

impl Values for Any<'_> {
    fn len(&self) -> usize {
        self.template.names().len()
    }

    fn name(&self, index: usize) -> &str {
        self.template.names().nth(index).unwrap_or_default()
    }

    fn shape(&self, index: usize) -> Shape {
        let len = (self.seed >> 8) as usize % 4;
        match self.seed.rotate_left(index as u32 * 5) % 5 {
            3 => Shape::Sequence { len },
            1 => Shape::List { len, tuples: false },
            2 => Shape::List { len, tuples: true },
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

fn dialects() -> impl Strategy<Value = Dialect> {
    (0..3_u8, any::<bool>(), any::<bool>()).prop_map(|(kind, a, b)| match kind {
        0 => Dialect::POSTGRES.with_standard_conforming_strings(a),
        1 => Dialect::MYSQL.with_no_backslash_escapes(a).with_ansi_quotes(b),
        _ => Dialect::SQLITE,
    })
}

/// Pieces that matter to a scanner, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        " ",
        "\n",
        "\r",
        "\t",
        ":a",
        ":b",
        ":id",
        ":имя",
        "::int",
        ":=",
        ":1",
        "\\:",
        "\\",
        "'",
        "''",
        "\"",
        "`",
        "[",
        "]",
        "(",
        ")",
        ",",
        ";",
        ".",
        "$",
        "$$",
        "$t$",
        "$1",
        "?",
        "?1",
        "@v",
        "#",
        "--",
        "-- ",
        "/*",
        "*/",
        "/*!50000",
        "/*M!",
        "/*+",
        "E'",
        "e'",
        "B'",
        "x",
        "1",
        "IN",
        "in (",
        "NOT IN",
        "NOT",
        "VALUES",
        "SELECT",
        "WITH",
        "AS (",
        "INSERT INTO",
        "UPDATE",
        "DELETE",
        "SET",
        "FROM",
        "WHERE",
        "RETURNING",
        "CASE",
        "WHEN",
        "END",
        "BEGIN",
        "CREATE",
        "TRIGGER",
        "PROCEDURE",
        "FUNCTION",
        "ATOMIC",
        "IF",
        "LOOP",
        "REPEAT",
        "WHILE",
        "FOR",
        "DO",
        "PRAGMA",
        "EXPLAIN",
        "ANALYZE",
        "=",
        "<=",
        "<>",
        "->>",
        "+-",
        "=-",
        "é",
        "\u{a0}",
        "\u{301}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![4 => pieces(), 1 => any::<String>(), 1 => "[ -~\\n]{0,60}"]
}

/// One value that no text names, to make the scanner tell of native placeholders.
struct Probe;

impl Values for Probe {
    fn len(&self) -> usize {
        1
    }

    fn name(&self, _index: usize) -> &str {
        "probe__"
    }

    fn shape(&self, _index: usize) -> Shape {
        Shape::Scalar
    }

    fn item_shape(&self, _index: usize, _item: usize) -> ItemShape {
        ItemShape::Scalar
    }
}

/// The placeholders that a server would see (N1). `mixed` points at the first; a bracket takes its place, and again.
fn placeholders(native: &str, dialect: Dialect) -> Vec<String> {
    let mut sql = native.to_owned();
    let mut found = Vec::new();
    while let Err(error) = rewrite(&sql, dialect, &Probe, RewriteOptions::default()) {
        let Some(at) = error.at().filter(|_| error.kind() == SqlErrorKind::Mixed) else { break };
        let end = at + 1 + sql[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        found.push(sql[at..end].to_owned());
        sql.replace_range(at..end, &")".repeat(end - at));
    }
    found
}

fn cases() -> u32 {
    let cases = std::env::var("DATABASES_SCANNER_CASES").ok();
    cases.map_or(2_000, |cases| cases.parse().expect("DATABASES_SCANNER_CASES is a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(sql in texts(), dialect in dialects(), seed in any::<u32>(), unused in any::<bool>()) {
        if let Ok(template) = scan(&sql, dialect) {
            let _ = (template.class(), template.verb().as_str(), template.target_table(), template.statements());
            let _ = (template.is_locking_read(), template.has_returning());
            match template.bind(&Any { template: &template, seed }, unused) {
                Ok(bound) => prop_assert!(bound.args.iter().all(|arg| arg.value < template.names().len())),
                Err(error) => {
                    prop_assert!(!error.to_string().is_empty());
                    prop_assert!(error.at().is_none_or(|at| at < sql.len()));
                }
            }
            if let Err(error) = template.bind(&(), unused) {
                let shown = error.to_string() + &format!("{error:?}");
                prop_assert!(!shown.is_empty());
            }
        } else if let Err(error) = scan(&sql, dialect) {
            prop_assert!(matches!(error.kind(), SqlErrorKind::NulByte | SqlErrorKind::Unterminated));
            prop_assert!(error.at().is_some_and(|at| at < sql.len()));
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn scripts_are_cut_where_the_scanner_counts_statements(sql in texts(), dialect in dialects()) {
        let (Ok(template), Ok(statements)) = (scan(&sql, dialect), split_script(&sql, dialect)) else {
            prop_assert!(scan(&sql, dialect).is_err() && split_script(&sql, dialect).is_err());
            return Ok(());
        };
        prop_assert_eq!(template.statements(), statements.len());
        for statement in &statements {
            prop_assert_eq!(&sql[statement.offset..statement.offset + statement.sql.len()], statement.sql);
        }
        if let [only] = statements[..] {
            prop_assert_eq!(only.class, template.class());
        }
    }

    #[test]
    fn a_text_without_names_and_escapes_is_left_alone(sql in texts(), dialect in dialects()) {
        let Ok(template) = scan(&sql, dialect) else { return Ok(()) };
        if template.names().len() == 0 && !sql.contains("\\:") {
            prop_assert_eq!(&*template.bind(&(), false).map(|bound| bound.sql).unwrap_or_default(), &*sql);
        }
    }

    #[test]
    fn the_native_text_scans_to_itself(sql in texts(), dialect in dialects()) {
        let Ok(template) = scan(&sql, dialect) else { return Ok(()) };
        if sql.contains("\\:") {
            return Ok(());
        }
        let scalars = Any { template: &template, seed: 0 };
        let Ok(bound) = template.bind(&scalars, false) else { return Ok(()) };
        let again = scan(&bound.sql, dialect);
        prop_assert!(again.is_ok(), "{:?} became {:?}: {:?}", sql, bound.sql, again.err());
        let again = again.expect("just checked");
        if again.names().len() > 0 {
            // `:a:b` is `?:b` on MySQL: only a `?` does not end an operand.
            prop_assert!(dialect.kind() == DialectKind::MySql && bound.sql.contains("?:"), "{:?} became {:?}", sql, bound.sql);
            return Ok(());
        }
        let unchanged = again.bind(&(), false);
        prop_assert_eq!(&*unchanged.map(|bound| bound.sql).unwrap_or_default(), &*bound.sql);
        prop_assert_eq!(again.statements(), template.statements());
        prop_assert_eq!(again.class(), template.class());
    }

    #[test]
    fn a_server_sees_as_many_placeholders_as_there_are_arguments(sql in pieces(), dialect in dialects(), seed in any::<u32>()) {
        let Ok(template) = scan(&sql, dialect) else { return Ok(()) };
        // An escape can make a name.
        if sql.contains("\\:") {
            return Ok(());
        }
        let Ok(bound) = template.bind(&Any { template: &template, seed }, false) else { return Ok(()) };
        if template.names().len() == 0 {
            return Ok(());
        }
        let mut seen = placeholders(&bound.sql, dialect);
        if dialect.kind() != DialectKind::MySql {
            seen.sort();
            seen.dedup();
        }
        prop_assert_eq!(seen.len(), bound.args.len(), "{:?} became {:?}: {:?}", sql, bound.sql, seen);
    }

    #[test]
    fn literals_and_comments_are_copied(inside in "[^\\x00'\"`$\\\\*/\\n\\r-]{0,20}", dialect in dialects()) {
        let literals = match dialect.kind() {
            DialectKind::Postgres => ["'_'", "\"_\"", "$x$_$x$", "/* _ */", "-- _\n"],
            DialectKind::MySql => ["'_'", "\"_\"", "`_`", "/* _ */", "# _\n"],
            _ => ["'_'", "\"_\"", "`_`", "/* _ */", "-- _\n"],
        };
        for literal in literals {
            let literal = literal.replace('_', &inside);
            let sql = format!("SELECT {literal} , :a");
            let template = scan(&sql, dialect).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let bound = template.bind(&Any { template: &template, seed: 0 }, false);
            let native = bound.map(|bound| bound.sql.to_string()).unwrap_or_default();
            prop_assert!(native.starts_with(&format!("SELECT {literal} , ")), "{sql:?} became {native:?}");
            prop_assert_eq!(template.names().len(), 1);
        }
    }

    #[test]
    fn numbers_follow_the_arguments(names in prop::collection::vec("[a-d]", 1..8), lens in prop::collection::vec(0..4_usize, 4)) {
        // Every list in an expanding place: `f(0, :a)`.
        struct Lists<'a>(&'a Template, Vec<usize>);
        impl Values for Lists<'_> {
            fn len(&self) -> usize { self.0.names().len() }
            fn name(&self, index: usize) -> &str { self.0.names().nth(index).unwrap_or_default() }
            fn shape(&self, index: usize) -> Shape { Shape::List { len: self.1[index] + 1, tuples: false } }
            fn item_shape(&self, _index: usize, _item: usize) -> ItemShape { ItemShape::Scalar }
        }
        let sql = names.iter().map(|name| format!("f(0, :{name})")).collect::<Vec<_>>().join(" + ");
        let template = scan(&sql, Dialect::SQLITE).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let values = Lists(&template, lens);
        let bound = template.bind(&values, false).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for (index, arg) in bound.args.iter().enumerate() {
            let ArgPath::Item(item) = arg.path else { return Err(TestCaseError::fail("a list was not expanded")) };
            let first = index - item;
            let len = values.1[arg.value] + 1;
            let text: Vec<String> = (first..first + len).map(|ordinal| format!("?{}", ordinal + 1)).collect();
            let text = format!("f(0, {})", text.join(", "));
            prop_assert!(bound.sql.contains(&text), "{}", bound.sql);
        }
    }

    #[test]
    fn the_cache_gives_what_scan_gives(texts in prop::collection::vec(pieces(), 1..20), dialect in dialects()) {
        let cache = TemplateCache::with_limits(4, 200);
        for sql in texts.iter().chain(&texts) {
            match (cache.get_or_scan(sql, dialect), scan(sql, dialect)) {
                (Ok(kept), Ok(fresh)) => {
                    prop_assert_eq!(kept.sql(), fresh.sql());
                    prop_assert!(kept.names().eq(fresh.names()));
                    prop_assert_eq!(kept.class(), fresh.class());
                }
                (Err(kept), Err(fresh)) => prop_assert_eq!(kept, fresh),
                (kept, fresh) => prop_assert!(false, "{:?} {:?}", kept, fresh),
            }
            prop_assert!(cache.len() <= 4);
        }
    }
}
