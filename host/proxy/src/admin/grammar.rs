//! What operators say: `SHOW CLIENTS WHERE state = 'waiting' ORDER BY wait DESC LIMIT 10`, `KILL 17`, `EXPLAIN ROUTE 'SELECT 1'`.

use std::cmp::Ordering;
use std::fmt::Display;

use howdah_wire::backend::ErrorReport;

use super::order::{self, Order};
use super::show::{self, Show};
use super::table::{Column, Table, Value};
use crate::config::suggestion;

/// Longest text of a command, in bytes.
pub(super) const MAX_COMMAND: usize = 64 << 10;
/// Most parameters of one.
pub(super) const MAX_PARAMETERS: usize = 64;

/// A command, understood. What is still to be said stands in parameters.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// A table.
    Show(&'static Show, Filter),
    /// Something is done.
    Order(Order),
    /// Where a statement would go.
    Explain {
        sql: Word,
        user: Option<Word>,
        database: Option<Word>,
    },
    /// What drivers send of their own accord, and means nothing here; the tag that they expect.
    Nothing(&'static str),
    /// `SELECT 1`, by which pools find out whether a connection lives.
    One,
    Begin,
    Commit,
    Rollback,
    Empty,
}

/// A text of a command: as it stands, or in the parameter of this number, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Given(String),
    Parameter(usize),
}

impl Word {
    /// The text, with these parameters.
    pub(super) fn text<'a>(
        &'a self,
        parameters: &'a [Option<String>],
    ) -> Result<&'a str, ErrorReport> {
        match self {
            Word::Given(text) => Ok(text),
            Word::Parameter(at) => parameters
                .get(*at)
                .and_then(Option::as_deref)
                .ok_or_else(|| ErrorReport::error(b"22004", &format!("${} is NULL", at + 1))),
        }
    }
}

/// Which rows, in what order, and how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    conditions: Vec<Condition>,
    /// A column, and whether the greatest comes first.
    order: Vec<(usize, bool)>,
    limit: Option<Word>,
}

#[derive(Clone, Debug)]
struct Condition {
    column: usize,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Compares(&'static [Ordering], Word),
    Like(Word, bool),
    IsNull(bool),
}

impl Filter {
    /// Leaves of a table what is wanted.
    pub(super) fn apply(
        &self,
        table: &mut Table,
        parameters: &[Option<String>],
    ) -> Result<(), ErrorReport> {
        for Condition { column, test } in &self.conditions {
            let mut failed = None;
            table.rows.retain(|row| {
                let value = row.get(*column).unwrap_or(&Value::Null);
                test.holds(value, parameters).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        for (column, greatest_first) in self.order.iter().rev() {
            table.rows.sort_by(|a, b| {
                let (a, b) = (a.get(*column), b.get(*column));
                let order = compare(a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
                if *greatest_first { order.reverse() } else { order }
            });
        }
        if let Some(limit) = &self.limit {
            let text = limit.text(parameters)?;
            let limit = text.parse().map_err(|_| invalid("LIMIT", text))?;
            table.rows.truncate(limit);
        }
        Ok(())
    }
}

impl Test {
    fn holds(&self, value: &Value, parameters: &[Option<String>]) -> Result<bool, ErrorReport> {
        match self {
            Test::IsNull(is) => Ok((*value == Value::Null) == *is),
            // As in SQL, NULL is neither like nor unlike anything.
            _ if *value == Value::Null => Ok(false),
            Test::Compares(orders, word) => {
                let wanted = read(value, word.text(parameters)?)?;
                Ok(orders.contains(&compare(value, &wanted)))
            }
            Test::Like(pattern, is) => {
                let text = value.text().unwrap_or_default();
                let pattern: Vec<char> = pattern.text(parameters)?.chars().collect();
                Ok(like(&text.chars().collect::<Vec<_>>(), &pattern) == *is)
            }
        }
    }
}

/// A text as a value of the same kind as another one.
fn read(like: &Value, text: &str) -> Result<Value, ErrorReport> {
    let read = match like {
        Value::Int(_) => text
            .parse()
            .map(Value::Int)
            .or_else(|_| text.parse().map(Value::Float))
            .map_err(|_| invalid("bigint", text))?,
        Value::Float(_) => {
            text.parse().map(Value::Float).map_err(|_| invalid("double precision", text))?
        }
        Value::Bool(_) => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "1" => Value::Bool(true),
            "f" | "false" | "off" | "no" | "0" => Value::Bool(false),
            _ => return Err(invalid("boolean", text)),
        },
        Value::Text(_) | Value::Null => Value::from(text),
    };
    Ok(read)
}

/// In PostgreSQL's words (numutils.c).
fn invalid(kind: &str, text: &str) -> ErrorReport {
    let message = format!("invalid input syntax for type {kind}: \"{text}\"");
    ErrorReport::error(b"22P02", &message)
}

/// The order of two values; NULL is the greatest, as in PostgreSQL.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (a, b) => number(a).total_cmp(&number(b)),
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Bool(is) => f64::from(u8::from(*is)),
        Value::Null | Value::Text(_) => f64::NAN,
    }
}

/// LIKE without escapes. At most one try for each place of the text and of the pattern.
fn like(text: &[char], pattern: &[char]) -> bool {
    let (mut t, mut p) = (0, 0);
    // Where the last % stands, and what it has swallowed up to.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                back = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '_' || text.get(t) == Some(wanted) => {
                t += 1;
                p += 1;
            }
            _ => {
                let Some((at, swallowed)) = back else { return false };
                back = Some((at, swallowed + 1));
                (p, t) = (at + 1, swallowed + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|one| *one == '%')
}

/// A piece of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word, or a number, as written.
    Bare(String),
    /// A text in single quotes, or a name in double quotes.
    Quoted(String),
    Parameter(usize),
    Symbol(&'static str),
}

const SYMBOLS: &[&str] = &["<>", "!=", "<=", ">=", "<", ">", "=", ","];

impl Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Bare(text) | Token::Quoted(text) => write!(f, "\"{text}\""),
            Token::Parameter(at) => write!(f, "\"${}\"", at + 1),
            Token::Symbol(symbol) => write!(f, "\"{symbol}\""),
        }
    }
}

fn syntax(message: &str) -> ErrorReport {
    ErrorReport::error(b"42601", message).hint("SHOW HELP lists all commands.")
}

/// The commands of a text, which semicolons part.
pub(super) fn split(text: &str) -> Result<Vec<Vec<Piece>>, ErrorReport> {
    let mut commands = vec![Vec::new()];
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        if let Some(inside) = rest.strip_prefix("/*") {
            let end = inside.split_once("*/");
            rest = end.ok_or_else(|| syntax("unterminated /* comment"))?.1;
            continue;
        }
        if let Some(after) = rest.strip_prefix(';') {
            commands.push(Vec::new());
            rest = after;
            continue;
        }
        let token = match first {
            '\'' | '"' => {
                let (text, after) = quoted(rest, first)?;
                rest = after;
                Token::Quoted(text)
            }
            '$' => {
                let end = rest[1..].find(|c: char| !c.is_ascii_digit());
                let (digits, after) = rest[1..].split_at(end.unwrap_or(rest.len() - 1));
                let number = digits.parse::<usize>().ok();
                let number = number.filter(|n| (1..=MAX_PARAMETERS).contains(n));
                rest = after;
                Token::Parameter(number.ok_or_else(|| syntax("there is no such parameter"))? - 1)
            }
            _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => {
                    rest = &rest[symbol.len()..];
                    Token::Symbol(symbol)
                }
                None => {
                    let ends = |c: char| c.is_whitespace() || "'\"$;,<>=!".contains(c);
                    let end = rest.find(ends).unwrap_or(rest.len()).max(first.len_utf8());
                    let (word, after) = rest.split_at(end);
                    rest = after;
                    Token::Bare(word.to_owned())
                }
            },
        };
        if let Some(command) = commands.last_mut() {
            command.push(Piece(token));
        }
    }
    if commands.len() > 1 {
        commands.retain(|command| !command.is_empty());
    }
    if commands.is_empty() {
        commands.push(Vec::new());
    }
    Ok(commands)
}

/// A piece of a command that has not been understood yet.
#[derive(Clone, Debug)]
pub(super) struct Piece(Token);

/// A text in quotes, of which two stand for one, and what follows.
fn quoted(text: &str, quote: char) -> Result<(String, &str), ErrorReport> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            out.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            out.push(quote);
        } else {
            return Ok((out, &text[at + quote.len_utf8()..]));
        }
    }
    Err(syntax("unterminated quoted string"))
}

/// Understands a command.
pub(super) fn understand(pieces: &[Piece]) -> Result<Command, ErrorReport> {
    let mut reader = Reader { pieces, at: 0 };
    let Some(first) = reader.keyword() else {
        return match pieces.first() {
            None => Ok(Command::Empty),
            Some(Piece(token)) => Err(syntax(&format!("syntax error at or near {token}"))),
        };
    };
    let command = match first.as_str() {
        "SHOW" => reader.show()?,
        "EXPLAIN" => {
            reader.expect("ROUTE")?;
            let sql = reader.word("the statement, in quotes")?;
            let user = reader.after("USER")?;
            let database = reader.after("DATABASE")?;
            Command::Explain { sql, user, database }
        }
        "BEGIN" | "START" => reader.ignoring(Command::Begin),
        "COMMIT" | "END" => reader.ignoring(Command::Commit),
        "ROLLBACK" | "ABORT" => reader.ignoring(Command::Rollback),
        "SELECT" if reader.is_one() => Command::One,
        "SET" if !reader.names_key() => reader.ignoring(Command::Nothing("SET")),
        "RESET" if !reader.names_key() => reader.ignoring(Command::Nothing("RESET")),
        "DISCARD" => reader.ignoring(Command::Nothing("DISCARD ALL")),
        "DEALLOCATE" => reader.ignoring(Command::Nothing("DEALLOCATE")),
        verb => Command::Order(order::read(verb, &mut reader)?),
    };
    match reader.next() {
        None => Ok(command),
        Some(token) => Err(syntax(&format!("syntax error at or near {token}"))),
    }
}

/// How many parameters a command has.
pub(super) fn parameters(pieces: &[Piece]) -> usize {
    let number = |Piece(token): &Piece| match token {
        Token::Parameter(at) => at + 1,
        _ => 0,
    };
    pieces.iter().map(number).max().unwrap_or_default()
}

/// Reads the pieces of a command.
pub(super) struct Reader<'p> {
    pieces: &'p [Piece],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.pieces.get(self.at).map(|Piece(token)| token)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn ignoring(&mut self, command: Command) -> Command {
        self.at = self.pieces.len();
        command
    }

    fn is_one(&mut self) -> bool {
        let is = self.peek() == Some(&Token::Bare("1".to_owned()));
        self.at += usize::from(is);
        is
    }

    /// Whether a key of the configuration comes next: those have dots, or stand in quotes; settings of servers do not.
    fn names_key(&self) -> bool {
        match self.peek() {
            Some(Token::Bare(name)) => name.contains('.'),
            Some(Token::Quoted(_)) => true,
            _ => false,
        }
    }

    /// The next word in capitals, if there is one.
    pub(super) fn keyword(&mut self) -> Option<String> {
        match self.peek()? {
            Token::Bare(word) => {
                let word = word.to_ascii_uppercase();
                self.at += 1;
                Some(word)
            }
            _ => None,
        }
    }

    /// Whether this word comes next; then it is read.
    pub(super) fn accept(&mut self, wanted: &str) -> bool {
        let is =
            matches!(self.peek(), Some(Token::Bare(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(is);
        is
    }

    pub(super) fn accept_symbol(&mut self, wanted: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Symbol(symbol)) if *symbol == wanted);
        self.at += usize::from(is);
        is
    }

    pub(super) fn expect(&mut self, wanted: &str) -> Result<(), ErrorReport> {
        match self.accept(wanted) {
            true => Ok(()),
            false => Err(self.expected(wanted)),
        }
    }

    /// What is wrong when something else was expected here.
    pub(super) fn expected(&self, wanted: &str) -> ErrorReport {
        match self.peek() {
            Some(token) => syntax(&format!("expected {wanted}, found {token}")),
            None => syntax(&format!("expected {wanted} at the end")),
        }
    }

    /// A word, a text, a number or a parameter; `wanted` says what it is.
    pub(super) fn word(&mut self, wanted: &str) -> Result<Word, ErrorReport> {
        match self.next() {
            Some(Token::Bare(text) | Token::Quoted(text)) => Ok(Word::Given(text)),
            Some(Token::Parameter(at)) => Ok(Word::Parameter(at)),
            _ => {
                self.at -= 1;
                Err(self.expected(wanted))
            }
        }
    }

    /// The same, if there is one more.
    pub(super) fn maybe_word(&mut self, wanted: &str) -> Result<Option<Word>, ErrorReport> {
        self.peek().is_some().then(|| self.word(wanted)).transpose()
    }

    /// The word behind a keyword, if that comes next.
    fn after(&mut self, keyword: &str) -> Result<Option<Word>, ErrorReport> {
        self.accept(keyword).then(|| self.word("a name")).transpose()
    }

    fn show(&mut self) -> Result<Command, ErrorReport> {
        let Some(name) = self.keyword() else { return Err(self.expected("the name of a table")) };
        let Some(show) = show::ALL.iter().find(|show| show.name == name) else {
            let names: Vec<&str> = show::ALL.iter().map(|show| show.name).collect();
            let like = suggestion(&name, &names);
            return Err(syntax(&format!("there is no table {name}{like}")));
        };
        let filter = self.filter(show.columns)?;
        Ok(Command::Show(show, filter))
    }

    fn filter(&mut self, columns: &[Column]) -> Result<Filter, ErrorReport> {
        let mut filter = Filter::default();
        if self.accept("WHERE") {
            loop {
                filter.conditions.push(self.condition(columns)?);
                if !self.accept("AND") {
                    break;
                }
            }
        }
        if self.accept("ORDER") {
            self.expect("BY")?;
            loop {
                let column = self.column(columns)?;
                let down = self.accept("DESC");
                if !down {
                    self.accept("ASC");
                }
                filter.order.push((column, down));
                if !self.accept_symbol(",") {
                    break;
                }
            }
        }
        if self.accept("LIMIT") {
            filter.limit = Some(self.word("a number")?);
        }
        Ok(filter)
    }

    fn column(&mut self, columns: &[Column]) -> Result<usize, ErrorReport> {
        let name = match self.next() {
            Some(Token::Bare(name)) => name.to_ascii_lowercase(),
            Some(Token::Quoted(name)) => name,
            _ => {
                self.at -= 1;
                return Err(self.expected("a column"));
            }
        };
        columns.iter().position(|column| column.name == name).ok_or_else(|| {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            let message = format!("column \"{name}\" does not exist{}", suggestion(&name, &names));
            ErrorReport::error(b"42703", &message)
                .hint(&format!("The columns are {}.", names.join(", ")))
        })
    }

    fn condition(&mut self, columns: &[Column]) -> Result<Condition, ErrorReport> {
        const COMPARISONS: &[(&str, &[Ordering])] = &[
            ("=", &[Ordering::Equal]),
            ("<>", &[Ordering::Less, Ordering::Greater]),
            ("!=", &[Ordering::Less, Ordering::Greater]),
            ("<=", &[Ordering::Less, Ordering::Equal]),
            (">=", &[Ordering::Greater, Ordering::Equal]),
            ("<", &[Ordering::Less]),
            (">", &[Ordering::Greater]),
        ];
        let column = self.column(columns)?;
        if self.accept("IS") {
            let is = !self.accept("NOT");
            self.expect("NULL")?;
            return Ok(Condition { column, test: Test::IsNull(is) });
        }
        if self.accept("NOT") {
            self.expect("LIKE")?;
            return Ok(Condition { column, test: Test::Like(self.word("a pattern")?, false) });
        }
        if self.accept("LIKE") {
            return Ok(Condition { column, test: Test::Like(self.word("a pattern")?, true) });
        }
        for (symbol, orders) in COMPARISONS {
            if self.accept_symbol(symbol) {
                let word = self.word("a value")?;
                return Ok(Condition { column, test: Test::Compares(orders, word) });
            }
        }
        Err(self.expected("=, <>, <, >, <=, >=, LIKE or IS NULL"))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
