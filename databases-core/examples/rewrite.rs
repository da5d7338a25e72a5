//! `:name` rewriting as a filter: one JSON object per input line, one per output line.
//!
//! ```text
//! $ echo '{"dialect":"postgres","sql":"SELECT :a","values":{"a":1}}' | cargo run -q -p databases-core --example rewrite
//! {"sql":"SELECT $1","args":["a"]}
//! ```
//!
//! Input: `dialect` (`postgres`, `mysql`, `sqlite`), `sql`, `values`, `options`. A value that is a JSON array is a `list(..)`, an
//! array of arrays a list of tuples, `{"$array": [..]}` a plain sequence, `{"$tuples": [..]}` a list whose type says tuples, and
//! `{"$range": [a, n]}` a list of `n` items. Options: `standard_conforming_strings` (`"on"`, `"off"`), `no_backslash_escapes`,
//! `ansi_quotes`, `max_variable_number`, `allow_unused`.

use std::io::{self, BufRead, BufWriter, Write};

use databases_core::sql::{ArgPath, Bound, Dialect, ItemShape, RewriteOptions, Shape, SqlError, Values, rewrite};
use serde_json::{Map, Value, json};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = answer_line(&line);
        // In the order that people read it; a JSON object of serde_json is sorted by name.
        match (answer.get("sql"), answer.get("args")) {
            (Some(sql), Some(args)) => writeln!(out, "{{\"sql\":{sql},\"args\":{args}}}")?,
            _ => writeln!(out, "{answer}")?,
        }
        // A program on the other end waits for each answer.
        out.flush()?;
    }
    Ok(())
}

/// The answer to one line of input; what cannot be read is an error of kind `input`.
pub(crate) fn answer_line(line: &[u8]) -> Value {
    let case = serde_json::from_slice::<Value>(line).map_err(|error| format!("not JSON: {error}"));
    case.and_then(|case| answer(&case))
        .unwrap_or_else(|message| json!({"error": {"kind": "input", "message": message}}))
}

/// The answer to one case of the corpus format.
///
/// # Errors
///
/// What is wrong with the case itself.
pub(crate) fn answer(case: &Value) -> Result<Value, String> {
    let sql = case["sql"].as_str().ok_or("`sql` is not a string")?;
    let (dialect, options) = dialect(case)?;
    let values = match &case["values"] {
        Value::Null => Ok(Vec::new()),
        Value::Object(values) => values.iter().map(|(name, value)| Ok((name.clone(), Given::read(value)?))).collect(),
        _ => Err("`values` is not an object".to_owned()),
    };
    let values = Named(values?);
    Ok(match rewrite(sql, dialect, &values, options) {
        Ok(bound) => json!({"sql": &*bound.sql, "args": args(&bound, &values)}),
        Err(error) => json!({"error": describe(&error)}),
    })
}

fn dialect(case: &Value) -> Result<(Dialect, RewriteOptions), String> {
    let mut dialect = match case["dialect"].as_str() {
        Some("postgres") => Dialect::POSTGRES,
        Some("mysql" | "mariadb") => Dialect::MYSQL,
        Some("sqlite") => Dialect::SQLITE,
        _ => return Err("`dialect` is not one of postgres, mysql, sqlite".to_owned()),
    };
    let mut rewrite_options = RewriteOptions::default();
    let none = Map::new();
    let options = match &case["options"] {
        Value::Null => &none,
        Value::Object(options) => options,
        _ => return Err("`options` is not an object".to_owned()),
    };
    for (name, value) in options {
        let wrong = || format!("option `{name}` has a wrong value");
        let flag = || match value {
            Value::Bool(on) => Ok(*on),
            Value::String(word) if word == "on" => Ok(true),
            Value::String(word) if word == "off" => Ok(false),
            _ => Err(wrong()),
        };
        match &**name {
            "standard_conforming_strings" => dialect = dialect.with_standard_conforming_strings(flag()?),
            "no_backslash_escapes" => dialect = dialect.with_no_backslash_escapes(flag()?),
            "ansi_quotes" => dialect = dialect.with_ansi_quotes(flag()?),
            "allow_unused" => rewrite_options.allow_unused = flag()?,
            "max_variable_number" => {
                let limit = value.as_u64().and_then(|limit| usize::try_from(limit).ok()).ok_or_else(wrong)?;
                dialect = dialect.with_max_parameters(limit);
            }
            _ => return Err(format!("unknown option `{name}`")),
        }
    }
    Ok((dialect, rewrite_options))
}

/// Names and shapes; the values themselves are not needed.
struct Named(Vec<(String, Given)>);

enum Given {
    Scalar,
    Sequence(Vec<ItemShape>),
    List(Vec<ItemShape>, bool),
    Range(usize),
}

impl Given {
    fn read(value: &Value) -> Result<Self, String> {
        let items = |value: &Value| match value {
            Value::Array(items) => Ok(items.iter().map(item_shape).collect()),
            _ => Err("`$array` and `$tuples` hold an array".to_owned()),
        };
        match value {
            Value::Array(_) => Ok(Self::List(items(value)?, false)),
            Value::Object(map) if map.len() == 1 => match (map.get("$array"), map.get("$tuples"), map.get("$range")) {
                (Some(array), _, _) => Ok(Self::Sequence(items(array)?)),
                (_, Some(tuples), _) => Ok(Self::List(items(tuples)?, true)),
                (_, _, Some(range)) => {
                    let len = range[1].as_u64().and_then(|len| usize::try_from(len).ok());
                    len.map(Self::Range).ok_or_else(|| "`$range` is not [first, count]".to_owned())
                }
                _ => Ok(Self::Scalar),
            },
            _ => Ok(Self::Scalar),
        }
    }
}

fn item_shape(item: &Value) -> ItemShape {
    match item {
        Value::Array(fields) if fields.iter().any(Value::is_array) => ItemShape::Nested,
        Value::Array(fields) => ItemShape::Tuple(fields.len()),
        _ => ItemShape::Scalar,
    }
}

impl Values for Named {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> &str {
        &self.0[index].0
    }

    fn shape(&self, index: usize) -> Shape {
        match &self.0[index].1 {
            Given::Scalar => Shape::Scalar,
            Given::Sequence(items) => Shape::Sequence { len: items.len() },
            Given::List(items, tuples) => Shape::List { len: items.len(), tuples: *tuples },
            Given::Range(len) => Shape::List { len: *len, tuples: false },
        }
    }

    fn item_shape(&self, index: usize, item: usize) -> ItemShape {
        match &self.0[index].1 {
            Given::Sequence(items) | Given::List(items, _) => items[item],
            Given::Scalar | Given::Range(_) => ItemShape::Scalar,
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        // A JSON object's names are sorted.
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()
    }
}

fn args(bound: &Bound, values: &Named) -> Vec<String> {
    let spell = |value, path| {
        let name = values.name(value);
        match path {
            ArgPath::Whole => name.to_owned(),
            ArgPath::Item(item) => format!("{name}[{item}]"),
            ArgPath::TupleItem(item, field) => format!("{name}[{item}][{field}]"),
        }
    };
    bound.args.iter().map(|arg| spell(arg.value, arg.path)).collect()
}

fn describe(error: &SqlError) -> Value {
    json!({
        "kind": error.kind().as_str(),
        "names": error.names(),
        "at": error.at(),
        "line_col": error.line_col().map(|(line, column)| [line, column]),
        "message": error.message(),
        "hint": error.hint(),
    })
}
