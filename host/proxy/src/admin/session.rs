//! One operator's session: the simple and the extended protocol.

use std::collections::HashMap;

use bytes::{Buf, BytesMut};
use howdah_session::Parameters;
use howdah_wire::backend::{
    BackendKeyData, BindComplete, CloseComplete, CommandComplete, EmptyQueryResponse, ErrorReport,
    NoData, ParameterDescription, ParseComplete, PortalSuspended, ReadyForQuery, TransactionStatus,
};
use howdah_wire::frontend::{Bind, Bound, Close, Describe, Execute, Parse, Query, Target, tag};
use howdah_wire::{BodyError, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::grammar::{self, Command, MAX_COMMAND, MAX_PARAMETERS};
use super::table::{self, Column, Row, Table, row};
use super::{Operated, explain, orders};
use crate::config::Role;
use crate::frontend::ClientHello;
use crate::upstream::Stream;

/// Most prepared statements, and most portals.
const MAX_NAMED: usize = 1_000;
/// Longest message: a command, its name and parameters.
const MAX_MESSAGE: usize = 2 * MAX_COMMAND;
/// What servers of PostgreSQL say of themselves; drivers look at it.
const VERSION: &str = concat!("17.0 (howdah ", env!("CARGO_PKG_VERSION"), ")");
/// The type of parameters unless a driver says otherwise: `text` (pg_type.dat).
const TEXT: u32 = 25;
/// `int8`, `int2` and `int4`.
const NUMBERS: [u32; 3] = [20, 21, 23];

/// Serves an operator until it leaves.
pub(super) async fn serve(
    stream: &mut Stream,
    mut hello: ClientHello,
    role: Role,
    operated: &Operated,
) {
    tracing::info!(user = hello.user, ?role, "an operator has come");
    let mut session = Session::new(role, operated, &mut hello);
    let mut input = hello.input;
    loop {
        if !session.out.is_empty() {
            let out = session.out.split();
            if stream.write_all(&out).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
        let head = match frame::peek(&input, MAX_MESSAGE) {
            Ok(head) => head,
            Err(_) => {
                let report = ErrorReport::fatal(b"08P01", "invalid message length");
                return say(stream, session.out, &report).await;
            }
        };
        let Some(head) = head.filter(|head| input.len() >= head.len) else {
            match stream.read_buf(&mut input).await {
                Ok(n) if n > 0 => continue,
                _ => return,
            }
        };
        let mut message = input.split_to(head.len);
        message.advance(frame::HEADER_LEN);
        match session.heed(head.tag, &message).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(report) => return say(stream, session.out, &report).await,
        }
    }
}

/// Tells an operator the last that it hears, after what is still to be said. It need not listen.
pub(super) async fn say(stream: &mut Stream, mut out: BytesMut, report: &ErrorReport) {
    report.write(&mut out);
    let _ = stream.write_all(&out).await;
    let _ = stream.flush().await;
}

struct Session<'o> {
    role: Role,
    operated: &'o Operated,
    out: BytesMut,
    status: TransactionStatus,
    statements: HashMap<Vec<u8>, Statement>,
    portals: HashMap<Vec<u8>, Portal>,
    /// After an error nothing counts up to Sync.
    skips: bool,
}

#[derive(Clone)]
struct Statement {
    command: Command,
    /// Of the parameters, as OIDs.
    types: Vec<u32>,
}

struct Portal {
    command: Command,
    parameters: Vec<Option<String>>,
    /// Of the columns; one stands for all, none for text.
    formats: Vec<i16>,
    /// What is left of the result.
    rest: Option<std::vec::IntoIter<Row>>,
}

impl Portal {
    fn is_binary(&self, column: usize) -> bool {
        match self.formats.as_slice() {
            [one] => *one == 1,
            formats => formats.get(column) == Some(&1),
        }
    }
}

/// What a command has come to.
enum Outcome {
    Table(Table),
    Done(&'static str),
    Empty,
}

impl<'o> Session<'o> {
    fn new(role: Role, operated: &'o Operated, hello: &mut ClientHello) -> Session<'o> {
        let mut out = std::mem::take(&mut hello.output);
        let application = hello.parameters.iter().find(|(name, _)| name == "application_name");
        let application = application.map_or("", |(_, value)| value);
        let parameters = [
            ("application_name", application),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("integer_datetimes", "on"),
            ("is_superuser", "off"),
            ("server_encoding", "UTF8"),
            ("server_version", VERSION),
            ("session_authorization", &hello.user),
            ("standard_conforming_strings", "on"),
            ("TimeZone", "UTC"),
        ];
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        parameters.collect::<Parameters>().greet(&mut out);
        // Nothing here takes so long that it would have to be cancelled.
        BackendKeyData { pid: 0, key: &[0; 4] }.write(&mut out);
        ReadyForQuery { status: TransactionStatus::Idle }.write(&mut out);
        Session {
            role,
            operated,
            out,
            status: TransactionStatus::Idle,
            statements: HashMap::new(),
            portals: HashMap::new(),
            skips: false,
        }
    }

    /// Does what a message says. False: the operator leaves.
    async fn heed(&mut self, tag: u8, body: &[u8]) -> Result<bool, ErrorReport> {
        match tag {
            tag::TERMINATE => return Ok(false),
            tag::SYNC => {
                self.skips = false;
                self.ready();
                return Ok(true);
            }
            tag::FLUSH => return Ok(true),
            _ if self.skips => return Ok(true),
            tag::QUERY => {
                let query = Query::read(body).map_err(malformed)?;
                if let Err(report) = self.simple(query.text).await {
                    self.fail(&report);
                }
                self.ready();
                return Ok(true);
            }
            _ => {}
        }
        let done = match tag {
            tag::PARSE => self.parse(&Parse::read(body).map_err(malformed)?),
            tag::BIND => self.bind(&Bind::read(body).map_err(malformed)?),
            tag::DESCRIBE => self.describe(&Describe::read(body).map_err(malformed)?),
            tag::EXECUTE => self.execute(&Execute::read(body).map_err(malformed)?).await,
            tag::CLOSE => {
                let close = Close::read(body).map_err(malformed)?;
                match close.target {
                    Target::Statement => drop(self.statements.remove(close.name)),
                    Target::Portal => drop(self.portals.remove(close.name)),
                }
                CloseComplete.write(&mut self.out);
                Ok(())
            }
            other => {
                let message = format!("invalid frontend message type {other}");
                return Err(ErrorReport::fatal(b"08P01", &message));
            }
        };
        if let Err(report) = done {
            self.fail(&report);
            self.skips = true;
        }
        Ok(true)
    }

    fn ready(&mut self) {
        if self.status == TransactionStatus::Idle {
            self.portals.clear();
        }
        ReadyForQuery { status: self.status }.write(&mut self.out);
    }

    fn fail(&mut self, report: &ErrorReport) {
        report.write(&mut self.out);
        if self.status == TransactionStatus::InTransaction {
            self.status = TransactionStatus::Failed;
        }
    }

    async fn simple(&mut self, text: &[u8]) -> Result<(), ErrorReport> {
        let text = utf8(text)?;
        for pieces in grammar::split(text)? {
            let command = grammar::understand(&pieces)?;
            if grammar::parameters(&pieces) > 0 {
                return Err(ErrorReport::error(b"42P02", "there is no parameter $1"));
            }
            match self.run(&command, &[]).await? {
                Outcome::Table(table) => {
                    table::describe(table.columns, |_| false, &mut self.out);
                    for row in &table.rows {
                        table::write(row, |_| false, &mut self.out);
                    }
                    self.complete(&selected(&command, table.rows.len()));
                }
                Outcome::Done(tag) => self.complete(tag),
                Outcome::Empty => EmptyQueryResponse.write(&mut self.out),
            }
        }
        Ok(())
    }

    fn complete(&mut self, tag: &str) {
        CommandComplete { tag: tag.as_bytes() }.write(&mut self.out);
    }

    fn parse(&mut self, parse: &Parse<'_>) -> Result<(), ErrorReport> {
        let text = utf8(parse.query)?;
        let mut commands = grammar::split(text)?;
        let (Some(pieces), true) = (commands.pop(), commands.is_empty()) else {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(ErrorReport::error(b"42601", message));
        };
        let (command, parameters) = (grammar::understand(&pieces)?, grammar::parameters(&pieces));
        if !parse.name.is_empty() {
            let name = String::from_utf8_lossy(parse.name);
            if self.statements.contains_key(parse.name) {
                let message = format!("prepared statement \"{name}\" already exists");
                return Err(ErrorReport::error(b"42P05", &message));
            }
            if self.statements.len() >= MAX_NAMED {
                return Err(ErrorReport::error(b"53000", "too many prepared statements"));
            }
        }
        let oids = parse.types.get(2..).unwrap_or_default().as_chunks::<4>().0;
        let mut types: Vec<u32> = oids.iter().map(|oid| u32::from_be_bytes(*oid)).collect();
        types.resize(parameters, TEXT);
        types.iter_mut().filter(|oid| **oid == 0).for_each(|oid| *oid = TEXT);
        self.statements.insert(parse.name.to_vec(), Statement { command, types });
        ParseComplete.write(&mut self.out);
        Ok(())
    }

    fn bind(&mut self, bind: &Bind<'_>) -> Result<(), ErrorReport> {
        let statement =
            self.statements.get(bind.statement).ok_or_else(|| unknown(bind.statement))?;
        let values = bind.values().map_err(malformed)?;
        if values.len() != statement.types.len() || values.len() > MAX_PARAMETERS {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement requires {}",
                values.len(),
                statement.types.len()
            );
            return Err(ErrorReport::error(b"08P01", &message));
        }
        let values = values.iter().zip(&statement.types);
        let parameters = values.map(|(one, oid)| parameter(one, *oid)).collect::<Result<_, _>>()?;
        if self.portals.len() >= MAX_NAMED {
            return Err(ErrorReport::error(b"53000", "too many portals"));
        }
        let formats = bind.result_formats().map_err(malformed)?;
        let command = statement.command.clone();
        let portal = Portal { command, parameters, formats, rest: None };
        self.portals.insert(bind.portal.to_vec(), portal);
        BindComplete.write(&mut self.out);
        Ok(())
    }

    fn describe(&mut self, what: &Describe<'_>) -> Result<(), ErrorReport> {
        match what.target {
            Target::Statement => {
                let statement = self.statements.get(what.name).ok_or_else(|| unknown(what.name))?;
                let types: Vec<u8> =
                    statement.types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
                ParameterDescription { types: &types }.write(&mut self.out);
                match columns(&statement.command) {
                    Some(columns) => table::describe(columns, |_| false, &mut self.out),
                    None => NoData.write(&mut self.out),
                }
            }
            Target::Portal => {
                let portal = self.portals.get(what.name).ok_or_else(|| no_portal(what.name))?;
                match columns(&portal.command) {
                    Some(columns) => {
                        table::describe(columns, |at| portal.is_binary(at), &mut self.out);
                    }
                    None => NoData.write(&mut self.out),
                }
            }
        }
        Ok(())
    }

    async fn execute(&mut self, execute: &Execute<'_>) -> Result<(), ErrorReport> {
        let name = execute.portal;
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        if portal.rest.is_none() {
            match self.run(&portal.command, &portal.parameters).await? {
                Outcome::Table(table) => portal.rest = Some(table.rows.into_iter()),
                Outcome::Done(tag) => {
                    self.complete(tag);
                    return Ok(());
                }
                Outcome::Empty => {
                    EmptyQueryResponse.write(&mut self.out);
                    return Ok(());
                }
            }
        }
        let most = usize::try_from(execute.max_rows).ok().filter(|most| *most > 0);
        let mut rest = portal.rest.take().unwrap_or_default();
        let mut count = 0;
        for row in rest.by_ref().take(most.unwrap_or(usize::MAX)) {
            table::write(&row, |at| portal.is_binary(at), &mut self.out);
            count += 1;
        }
        match most {
            Some(_) if rest.len() > 0 => PortalSuspended.write(&mut self.out),
            _ => self.complete(&selected(&portal.command, count)),
        }
        portal.rest = Some(rest);
        self.portals.insert(name.to_vec(), portal);
        Ok(())
    }

    async fn run(
        &mut self,
        command: &Command,
        parameters: &[Option<String>],
    ) -> Result<Outcome, ErrorReport> {
        let failed = self.status == TransactionStatus::Failed;
        if failed && !matches!(command, Command::Commit | Command::Rollback) {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(ErrorReport::error(b"25P02", message));
        }
        match command {
            Command::Show(show, filter) => {
                let mut table = show.table(self.operated).await;
                filter.apply(&mut table, parameters)?;
                Ok(Outcome::Table(table))
            }
            Command::Explain { sql, user, database } => {
                let text = |word: &Option<grammar::Word>| -> Result<_, ErrorReport> {
                    let text = word.as_ref().map(|word| word.text(parameters)).transpose();
                    Ok(text?.map(str::to_owned))
                };
                let (user, database) = (text(user)?, text(database)?);
                let sql = sql.text(parameters)?;
                explain::route(self.operated, sql, user, database).await.map(Outcome::Table)
            }
            Command::Order(order) => {
                super::may_order(self.role)?;
                orders::carry_out(order, self.operated, parameters).await.map(Outcome::Done)
            }
            Command::One => Ok(Outcome::Table(Table { columns: ONE, rows: vec![row![1_i64]] })),
            Command::Nothing(tag) => Ok(Outcome::Done(tag)),
            Command::Begin => {
                self.status = TransactionStatus::InTransaction;
                Ok(Outcome::Done("BEGIN"))
            }
            Command::Commit => {
                self.status = TransactionStatus::Idle;
                Ok(Outcome::Done(if failed { "ROLLBACK" } else { "COMMIT" }))
            }
            Command::Rollback => {
                self.status = TransactionStatus::Idle;
                Ok(Outcome::Done("ROLLBACK"))
            }
            Command::Empty => Ok(Outcome::Empty),
        }
    }
}

const ONE: &[Column] = &[table::int("?column?", "1")];

/// The columns of what a command gives, if it gives any.
fn columns(command: &Command) -> Option<&'static [Column]> {
    match command {
        Command::Show(show, _) => Some(show.columns),
        Command::Explain { .. } => Some(explain::COLUMNS),
        Command::One => Some(ONE),
        _ => None,
    }
}

fn selected(command: &Command, rows: usize) -> String {
    match command {
        Command::Show(..) => "SHOW".to_owned(),
        Command::Explain { .. } => "EXPLAIN".to_owned(),
        _ => format!("SELECT {rows}"),
    }
}

fn utf8(text: &[u8]) -> Result<&str, ErrorReport> {
    let text = std::str::from_utf8(text)
        .map_err(|_| ErrorReport::error(b"22021", "invalid byte sequence for encoding \"UTF8\""))?;
    if text.len() > MAX_COMMAND {
        return Err(ErrorReport::error(b"54000", "the command is too long")
            .detail(&format!("The limit is {MAX_COMMAND} bytes.")));
    }
    Ok(text)
}

/// A parameter as a text. Texts are the same in both formats, whole numbers are not.
fn parameter(bound: &Bound<'_>, oid: u32) -> Result<Option<String>, ErrorReport> {
    let Some(value) = bound.value else { return Ok(None) };
    if !bound.binary || !NUMBERS.contains(&oid) {
        return utf8(value).map(|text| Some(text.to_owned()));
    }
    let number = match *value {
        [a, b] => i16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => {
            return Err(ErrorReport::error(
                b"22P03",
                "incorrect binary data format in bind parameter",
            ));
        }
    };
    Ok(Some(number.to_string()))
}

fn malformed(_: BodyError) -> ErrorReport {
    ErrorReport::fatal(b"08P01", "invalid message format")
}

fn unknown(name: &[u8]) -> ErrorReport {
    let name = String::from_utf8_lossy(name);
    let message = match &*name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    ErrorReport::error(b"26000", &message)
}

fn no_portal(name: &[u8]) -> ErrorReport {
    let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
    ErrorReport::error(b"34000", &message)
}
