//! The SQL of the example backend: just enough to be of use, and an error for everything else.

use std::cmp::Ordering;
use std::sync::Arc;

use databases_core::backend::ExecResult;
use databases_core::{Column, Columns, Error, ErrorKind, Result, Value};

use super::{Rows, Table, Tables};

/// `a = value AND b = value`.
type Condition = Vec<(String, Value)>;

pub(super) enum Statement {
    Create { table: String, columns: Vec<String> },
    Drop { table: String, if_exists: bool },
    Insert { table: String, columns: Vec<String>, rows: Vec<Vec<Value>> },
    Select { what: Vec<(Item, String)>, table: Option<String>, condition: Condition, order: Option<String> },
    Update { table: String, set: Condition, condition: Condition },
    Delete { table: String, condition: Condition },
}

pub(super) enum Item {
    All,
    Count,
    Column(String),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Value(Value),
    Symbol(char),
}

fn syntax() -> Error {
    Error::new(ErrorKind::Syntax, "this backend does not understand the statement")
}

fn tokens(sql: &str, values: &[&Value]) -> Result<Vec<Token>> {
    let mut rest = sql.trim_start();
    let mut out = Vec::new();
    while let Some(first) = rest.chars().next() {
        let len_while = |test: fn(char) -> bool| rest.find(|c| !test(c)).unwrap_or(rest.len());
        let end = match first {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").ok_or_else(syntax)? + 2,
            '?' => {
                let end = 1 + rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
                let ordinal: usize = rest[1..end].parse().map_err(|_| syntax())?;
                out.push(Token::Value((*values.get(ordinal - 1).ok_or_else(syntax)?).clone()));
                end
            }
            '\'' => {
                // Two quotes inside a literal are one.
                let mut end = 1;
                loop {
                    end += rest[end..].find('\'').ok_or_else(syntax)? + 1;
                    if !rest[end..].starts_with('\'') {
                        break;
                    }
                    end += 1;
                }
                out.push(Token::Value(Value::Text(rest[1..end - 1].replace("''", "'"))));
                end
            }
            '0'..='9' => {
                let end = len_while(|c| c.is_ascii_digit());
                out.push(Token::Value(Value::Int(rest[..end].parse().map_err(|_| syntax())?)));
                end
            }
            c if c.is_alphabetic() || c == '_' => {
                let end = len_while(|c| c.is_alphanumeric() || c == '_');
                out.push(match rest[..end].to_ascii_uppercase().as_str() {
                    "NULL" => Token::Value(Value::Null),
                    _ => Token::Word(rest[..end].to_owned()),
                });
                end
            }
            symbol => {
                out.push(Token::Symbol(symbol));
                symbol.len_utf8()
            }
        };
        rest = rest[end..].trim_start();
    }
    while out.last() == Some(&Token::Symbol(';')) {
        out.pop();
    }
    Ok(out)
}

struct Parser(std::iter::Peekable<std::vec::IntoIter<Token>>);

impl Parser {
    fn takes(&mut self, word: &str) -> bool {
        self.0.next_if(|token| matches!(token, Token::Word(found) if found.eq_ignore_ascii_case(word))).is_some()
    }

    fn expect(&mut self, words: &[&str]) -> Result<()> {
        if words.iter().all(|word| self.takes(word)) { Ok(()) } else { Err(syntax()) }
    }

    fn symbol(&mut self, symbol: char) -> bool {
        self.0.next_if_eq(&Token::Symbol(symbol)).is_some()
    }

    fn expect_symbol(&mut self, symbol: char) -> Result<()> {
        if self.symbol(symbol) { Ok(()) } else { Err(syntax()) }
    }

    fn name(&mut self) -> Result<String> {
        match self.0.next() {
            Some(Token::Word(name)) => Ok(name),
            _ => Err(syntax()),
        }
    }

    fn value(&mut self) -> Result<Value> {
        match self.0.next() {
            Some(Token::Value(value)) => Ok(value),
            _ => Err(syntax()),
        }
    }

    /// One or more, separated by commas.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut out = vec![item(self)?];
        while self.symbol(',') {
            out.push(item(self)?);
        }
        Ok(out)
    }

    fn parenthesised<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_symbol('(')?;
        let out = self.list(item)?;
        self.expect_symbol(')')?;
        Ok(out)
    }

    fn equation(&mut self) -> Result<(String, Value)> {
        let name = self.name()?;
        self.expect_symbol('=')?;
        Ok((name, self.value()?))
    }

    fn condition(&mut self) -> Result<Condition> {
        let mut out = Vec::new();
        if self.takes("WHERE") {
            out.push(self.equation()?);
            while self.takes("AND") {
                out.push(self.equation()?);
            }
        }
        Ok(out)
    }

    /// A column's name; its type and constraints are read and not kept.
    fn column_definition(&mut self) -> Result<String> {
        let name = self.name()?;
        let mut depth = 0;
        while let Some(token) = self.0.peek() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(',' | ')') if depth == 0 => break,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
            self.0.next();
        }
        Ok(name)
    }

    fn item(&mut self) -> Result<(Item, String)> {
        let (item, mut name) = match self.0.next() {
            Some(Token::Symbol('*')) => (Item::All, String::new()),
            Some(Token::Value(value)) => (Item::Value(value), "value".to_owned()),
            Some(Token::Word(word)) if self.symbol('(') => {
                self.expect_symbol('*')?;
                self.expect_symbol(')')?;
                if !word.eq_ignore_ascii_case("count") {
                    return Err(syntax());
                }
                (Item::Count, "count".to_owned())
            }
            Some(Token::Word(word)) => (Item::Column(word.clone()), word),
            _ => return Err(syntax()),
        };
        if self.takes("AS") {
            name = self.name()?;
        }
        Ok((item, name))
    }

    fn statement(&mut self) -> Result<Statement> {
        if self.takes("SELECT") {
            let what = self.list(Self::item)?;
            let table = if self.takes("FROM") { Some(self.name()?) } else { None };
            let condition = self.condition()?;
            let order =
                if self.takes("ORDER") { self.expect(&["BY"]).and_then(|()| self.name()).map(Some)? } else { None };
            Ok(Statement::Select { what, table, condition, order })
        } else if self.takes("INSERT") {
            self.expect(&["INTO"])?;
            let (table, columns) = (self.name()?, self.parenthesised(Self::name)?);
            self.expect(&["VALUES"])?;
            let rows = self.list(|parser| parser.parenthesised(Self::value))?;
            Ok(Statement::Insert { table, columns, rows })
        } else if self.takes("UPDATE") {
            let table = self.name()?;
            self.expect(&["SET"])?;
            Ok(Statement::Update { table, set: self.list(Self::equation)?, condition: self.condition()? })
        } else if self.takes("DELETE") {
            self.expect(&["FROM"])?;
            Ok(Statement::Delete { table: self.name()?, condition: self.condition()? })
        } else if self.takes("CREATE") {
            self.expect(&["TABLE"])?;
            Ok(Statement::Create { table: self.name()?, columns: self.parenthesised(Self::column_definition)? })
        } else {
            self.expect(&["DROP", "TABLE"])?;
            let if_exists = self.takes("IF");
            if if_exists {
                self.expect(&["EXISTS"])?;
            }
            Ok(Statement::Drop { table: self.name()?, if_exists })
        }
    }
}

/// Reads `sql`, with `values` in place of `?1`, `?2`, ….
pub(super) fn parse(sql: &str, values: &[&Value]) -> Result<Statement> {
    let mut parser = Parser(tokens(sql, values)?.into_iter().peekable());
    let statement = parser.statement()?;
    if parser.0.peek().is_some() { Err(syntax()) } else { Ok(statement) }
}

fn missing_table(name: &str) -> Error {
    Error::new(ErrorKind::UndefinedTable, format!("no table `{name}`")).with_table(name)
}

fn find<'t>(tables: &'t mut Tables, name: &str) -> Result<&'t mut Table> {
    tables.get_mut(name).ok_or_else(|| missing_table(name))
}

impl Table {
    fn index(&self, name: &str) -> Result<usize> {
        self.columns
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| Error::new(ErrorKind::UndefinedColumn, format!("no column `{name}`")).with_columns([name]))
    }

    /// The columns and values of `a = value, b = value`, by position.
    fn located(&self, equations: Condition) -> Result<Vec<(usize, Value)>> {
        equations.into_iter().map(|(name, value)| Ok((self.index(&name)?, value))).collect()
    }
}

/// NULL equals nothing, as in SQL.
fn matches(row: &[Value], condition: &[(usize, Value)]) -> bool {
    condition.iter().all(|(index, value)| !value.is_null() && row[*index] == *value)
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => b.is_null().cmp(&a.is_null()),
    }
}

/// Does what `statement` says. Fails before it changes anything.
pub(super) fn execute(statement: Statement, tables: &mut Tables) -> Result<(Option<Rows>, ExecResult)> {
    let affected = match statement {
        Statement::Select { what, table, condition, order } => {
            return Ok((Some(select(what, table, condition, order, tables)?), ExecResult::default()));
        }
        Statement::Create { table, columns } => {
            if tables.contains_key(&table) {
                return Err(Error::new(ErrorKind::Database, format!("there is a table `{table}` already")));
            }
            tables.insert(table, Table { columns, rows: Vec::new() });
            0
        }
        Statement::Drop { table, if_exists } => {
            if tables.remove(&table).is_none() && !if_exists {
                return Err(missing_table(&table));
            }
            0
        }
        Statement::Insert { table, columns, rows } => {
            let table = find(tables, &table)?;
            let places = columns.iter().map(|name| table.index(name)).collect::<Result<Vec<_>>>()?;
            if rows.iter().any(|row| row.len() != places.len()) {
                return Err(syntax());
            }
            let affected = rows.len();
            for row in rows {
                let mut full = vec![Value::Null; table.columns.len()];
                for (place, value) in places.iter().zip(row) {
                    full[*place] = value;
                }
                table.rows.push(full);
            }
            affected
        }
        Statement::Update { table, set, condition } => {
            let table = find(tables, &table)?;
            let (set, condition) = (table.located(set)?, table.located(condition)?);
            let changed = table.rows.iter_mut().filter(|row| matches(row, &condition));
            changed.map(|row| set.iter().for_each(|(index, value)| row[*index] = value.clone())).count()
        }
        Statement::Delete { table, condition } => {
            let table = find(tables, &table)?;
            let condition = table.located(condition)?;
            let before = table.rows.len();
            table.rows.retain(|row| !matches(row, &condition));
            before - table.rows.len()
        }
    };
    Ok((None, ExecResult::new(affected as u64, None)))
}

fn select(
    what: Vec<(Item, String)>,
    table: Option<String>,
    condition: Condition,
    order: Option<String>,
    tables: &mut Tables,
) -> Result<Rows> {
    let one_empty_row = Table { columns: Vec::new(), rows: vec![Vec::new()] };
    let table = match table {
        Some(name) => find(tables, &name)?,
        None => &one_empty_row,
    };
    let condition = table.located(condition)?;
    let mut found: Vec<&Vec<Value>> = table.rows.iter().filter(|row| matches(row, &condition)).collect();
    if let Some(name) = order {
        let index = table.index(&name)?;
        found.sort_by(|a, b| compare(&a[index], &b[index]));
    }
    let (mut columns, mut sources) = (Vec::new(), Vec::new());
    let counts = what.iter().any(|(item, _)| matches!(item, Item::Count));
    for (item, name) in what {
        let named = |name: &str| Column::new(name, "");
        match item {
            Item::All => {
                columns.extend(table.columns.iter().map(|name| named(name)));
                sources.extend((0..table.columns.len()).map(Ok));
            }
            Item::Column(column) => {
                sources.push(Ok(table.index(&column)?));
                columns.push(named(&name));
            }
            Item::Count => {
                sources.push(Err(Value::Int(found.len() as i64)));
                columns.push(named(&name));
            }
            Item::Value(value) => {
                sources.push(Err(value));
                columns.push(named(&name));
            }
        }
    }
    let read = |row: &[Value]| {
        sources.iter().map(|source| source.as_ref().map_or_else(Value::clone, |index| row[*index].clone())).collect()
    };
    let rows = if counts {
        vec![read(&vec![Value::Null; table.columns.len()])]
    } else {
        found.into_iter().map(|row| read(row)).collect()
    };
    Ok(Rows { columns: Arc::new(Columns::new(columns)), rows })
}
