use crate::lex::{Lexer, Token, What};

/// What a statement does to its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that lasts.
    None,
    /// `SET [SESSION] name TO value`: it can follow the client. Also `SET ROLE`, `SET SESSION AUTHORIZATION` and their
    /// like, by the names of their settings.
    Set {
        /// Folded name.
        name: Box<str>,
        /// SQL text of the value, as after `SET name TO`.
        value: Box<str>,
    },
    /// `SET LOCAL name TO value`, which ends with the transaction.
    SetLocal {
        /// Folded name.
        name: Box<str>,
    },
    /// `RESET name`, or `SET name TO DEFAULT`.
    Reset {
        /// Folded name.
        name: Box<str>,
    },
    /// `RESET ALL`.
    ResetAll,
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DISCARD PLANS`: the server will look again at what is prepared, and may find that it means something else by now.
    DiscardPlans,
    /// `DEALLOCATE name`, or all.
    Deallocate(Option<Box<str>>),
    /// `EXECUTE name`.
    Execute(Box<str>),
    /// Opens a transaction block.
    Begin {
        /// It promises not to write.
        read_only: bool,
    },
    /// Ends a transaction block: COMMIT, END, ROLLBACK, ABORT; not a savepoint, and not two-phase commit.
    End,
    /// `SAVEPOINT name`.
    Savepoint(Box<str>),
    /// `RELEASE name`.
    Release(Box<str>),
    /// `ROLLBACK TO name`.
    RollbackTo(Box<str>),
    /// Leaves something that cannot follow the client.
    Pin(PinReason),
    /// May take away something that could not follow the client: DROP, DISCARD, CLOSE, UNLISTEN, `pg_advisory_unlock`.
    Unpin,
    /// Sets, resets or shows a setting of the proxy itself, of which no server must learn.
    Own(Own),
}

/// A statement about a setting of the proxy itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Folded name, without `howdah.`.
    pub name: Box<str>,
    /// What is to be done with it.
    pub verb: OwnVerb,
}

/// What is to be done with a setting of the proxy itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnVerb {
    /// `SET name TO value`: the SQL text of the value.
    Set(Box<str>),
    /// `SET LOCAL`.
    SetLocal,
    /// `RESET name`, or `SET name TO DEFAULT`.
    Reset,
    /// `SHOW name`.
    Show,
}

/// What the names of the proxy's own settings begin with.
pub const OWN: &str = "howdah.";

/// Why a session has to stay on its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinReason {
    /// It listens to notifications.
    Listen,
    /// It has a temporary table, view or sequence.
    TemporaryTable,
    /// It may hold a session-level advisory lock.
    AdvisoryLock,
    /// It has a cursor `WITH HOLD`.
    HoldCursor,
    /// It has prepared a statement by SQL.
    SqlPrepare,
    /// It has loaded a library.
    Load,
    /// It has made settings in a way that is not tracked.
    Settings,
    /// It has called a function that may keep something for later calls.
    Function,
    /// It has called a function that the catalog does not know.
    UnknownFunction,
    /// It reads what sequences have given to the session.
    Sequence,
    /// It has sent what a scan does not understand: a text too large, or nested too deeply.
    Unseen,
}

impl PinReason {
    /// Whether a question to the server can tell that the cause is gone.
    pub fn can_be_checked(self) -> bool {
        use PinReason::{AdvisoryLock, HoldCursor, Listen, SqlPrepare, TemporaryTable};
        matches!(self, Listen | TemporaryTable | AdvisoryLock | HoldCursor | SqlPrepare)
    }

    /// The words that operators see.
    pub fn name(self) -> &'static str {
        match self {
            PinReason::Listen => "listen",
            PinReason::TemporaryTable => "temporary table",
            PinReason::AdvisoryLock => "advisory lock",
            PinReason::HoldCursor => "cursor with hold",
            PinReason::SqlPrepare => "prepared by SQL",
            PinReason::Load => "load",
            PinReason::Settings => "settings",
            PinReason::Function => "function",
            PinReason::UnknownFunction => "unknown function",
            PinReason::Sequence => "sequence value",
            PinReason::Unseen => "not understood",
        }
    }
}

/// A statement's words again, for the few verbs whose effect is in their details.
struct Words<'a> {
    lexer: Lexer<'a>,
    next: Token,
}

impl<'a> Words<'a> {
    fn new(text: &'a [u8], start: usize, backslash_escapes: bool) -> Words<'a> {
        let mut lexer = Lexer::new(text, start, backslash_escapes);
        let next = lexer.token();
        Words { lexer, next }
    }

    fn advance(&mut self) -> Token {
        let token = self.next;
        self.next = self.lexer.token();
        token
    }

    /// Takes the next token when it is this keyword, given in lower case.
    fn word(&mut self, word: &str) -> bool {
        let hit = self.next.what == What::Word
            && self.lexer.bytes(self.next).eq_ignore_ascii_case(word.as_bytes());
        if hit {
            self.advance();
        }
        hit
    }

    fn identifier(&mut self) -> Option<Box<str>> {
        let token = self.next;
        let known = matches!(token.what, What::Word | What::Quoted)
            && std::str::from_utf8(self.lexer.bytes(token)).is_ok();
        known.then(|| {
            self.advance();
            self.lexer.folded(token).into()
        })
    }

    /// A name with dots.
    fn name(&mut self) -> Option<Box<str>> {
        let mut name = String::from(self.identifier()?);
        while self.next.what == What::Punct(b'.') {
            self.advance();
            name.push('.');
            name.push_str(&self.identifier()?);
        }
        Some(name.into())
    }

    fn at_end(&self) -> bool {
        matches!(self.next.what, What::End | What::Punct(b';'))
    }

    /// The text from here to the end of the statement.
    fn rest(&mut self) -> Option<Box<str>> {
        let start = self.next.start;
        let mut end = start;
        while !self.at_end() {
            end = self.advance().end;
        }
        let text = std::str::from_utf8(self.lexer.text.get(start..end)?).ok()?;
        (!text.is_empty()).then(|| text.into())
    }
}

/// Settings that last as long as a transaction, whatever the form of SET (guc_tables.c).
fn is_of_transaction(name: &str) -> bool {
    matches!(name, "transaction_isolation" | "transaction_read_only" | "transaction_deferrable")
}

/// The state of the session's random numbers can't be carried to another server.
fn is_bound(name: &str) -> bool {
    name == "seed"
}

/// The effect of a SAVEPOINT, RELEASE or ROLLBACK TO that begins at `start`.
pub(crate) fn of_savepoint(text: &[u8], start: usize, backslash_escapes: bool) -> Effect {
    let mut words = Words::new(text, start, backslash_escapes);
    let effect = if words.word("savepoint") {
        words.identifier().map(Effect::Savepoint)
    } else if words.word("release") {
        words.word("savepoint");
        words.identifier().map(Effect::Release)
    } else {
        words.advance();
        let _ = words.word("work") || words.word("transaction");
        words.word("to");
        words.word("savepoint");
        words.identifier().map(Effect::RollbackTo)
    };
    effect.unwrap_or(Effect::Pin(PinReason::Settings))
}

/// DISCARD: the other forms drop what the server can make again.
fn discard(words: &mut Words<'_>) -> Effect {
    if words.word("all") {
        Effect::DiscardAll
    } else if words.word("plans") {
        Effect::DiscardPlans
    } else {
        Effect::Unpin
    }
}

/// The effect of a SET, RESET, DISCARD, DEALLOCATE or EXECUTE that begins at `start`.
pub(crate) fn of_session_verb(text: &[u8], start: usize, backslash_escapes: bool) -> Effect {
    let mut words = Words::new(text, start, backslash_escapes);
    let effect = if words.word("set") {
        set(&mut words)
    } else if words.word("reset") {
        reset(&mut words)
    } else if words.word("discard") {
        Some(discard(&mut words))
    } else if words.word("deallocate") {
        deallocate(&mut words)
    } else if words.word("execute") {
        words.identifier().map(Effect::Execute)
    } else {
        None
    };
    own(effect.unwrap_or(Effect::Pin(PinReason::Settings)))
}

/// Settings of the proxy itself are no servers' settings.
fn own(effect: Effect) -> Effect {
    let (name, verb) = match &effect {
        Effect::Set { name, value } => (name, OwnVerb::Set(value.clone())),
        Effect::SetLocal { name } => (name, OwnVerb::SetLocal),
        Effect::Reset { name } => (name, OwnVerb::Reset),
        _ => return effect,
    };
    match name.strip_prefix(OWN) {
        Some(name) => Effect::Own(Own { name: name.into(), verb }),
        None => effect,
    }
}

/// The effect of a SHOW that begins at `start`.
pub(crate) fn of_show(text: &[u8], start: usize, backslash_escapes: bool) -> Effect {
    let mut words = Words::new(text, start, backslash_escapes);
    words.word("show");
    match words.name().as_deref().and_then(|name| name.strip_prefix(OWN)) {
        Some(name) => Effect::Own(Own { name: name.into(), verb: OwnVerb::Show }),
        None => Effect::None,
    }
}

fn deallocate(words: &mut Words<'_>) -> Option<Effect> {
    if words.word("prepare") && words.at_end() {
        return Some(Effect::Deallocate(Some("prepare".into())));
    }
    match words.word("all") {
        true => Some(Effect::Deallocate(None)),
        false => words.identifier().map(|name| Effect::Deallocate(Some(name))),
    }
}

fn set(words: &mut Words<'_>) -> Option<Effect> {
    if words.word("local") {
        // Whatever it is, it does not outlast the transaction.
        return Some(match set(words) {
            Some(Effect::Set { name, .. } | Effect::Reset { name }) => Effect::SetLocal { name },
            _ => Effect::None,
        });
    }
    if words.word("transaction") || words.word("constraints") {
        return Some(Effect::None);
    }
    if words.word("session") {
        if words.word("characteristics") {
            return characteristics(words);
        }
        if words.word("authorization") {
            return assignment(words, "session_authorization".into());
        }
    }
    if words.word("xml") {
        return words.word("option").then(|| assignment(words, "xmloption".into()))?;
    }
    if words.word("role") {
        if words.next.what == What::Punct(b'.') {
            return None;
        }
        if !words.word("to") && words.next.what == What::Operator {
            words.advance();
        }
        return assignment(words, "role".into());
    }
    if words.word("time") {
        return words.word("zone").then(|| assignment(words, "timezone".into()))?;
    }
    if words.word("names") {
        return match words.at_end() {
            true => Some(Effect::Reset { name: "client_encoding".into() }),
            false => assignment(words, "client_encoding".into()),
        };
    }
    if words.word("schema") {
        return assignment(words, "search_path".into());
    }
    let name = words.name()?;
    if !words.word("to") {
        if words.next.what != What::Operator || words.lexer.bytes(words.next) != b"=" {
            return None;
        }
        words.advance();
    }
    assignment(words, name)
}

/// `SET SESSION CHARACTERISTICS AS TRANSACTION` with one mode, which is a setting of another name (gram.y,
/// utility.c).
fn characteristics(words: &mut Words<'_>) -> Option<Effect> {
    if !words.word("as") || !words.word("transaction") {
        return None;
    }
    let (name, value) = if words.word("read") {
        match words.word("only") {
            true => ("default_transaction_read_only", "on".into()),
            false => {
                words.word("write").then_some(("default_transaction_read_only", "off".into()))?
            }
        }
    } else if words.word("deferrable") {
        ("default_transaction_deferrable", "on".into())
    } else if words.word("not") && words.word("deferrable") {
        ("default_transaction_deferrable", "off".into())
    } else if words.word("isolation") && words.word("level") {
        let level = words.rest()?.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if !level.bytes().all(|b| b.is_ascii_alphabetic() || b == b' ') {
            return None;
        }
        ("default_transaction_isolation", format!("'{level}'"))
    } else {
        return None;
    };
    words.at_end().then(|| Effect::Set { name: name.into(), value: value.into() })
}

fn assignment(words: &mut Words<'_>, name: Box<str>) -> Option<Effect> {
    if is_of_transaction(&name) {
        return Some(Effect::None);
    }
    if is_bound(&name) {
        return None;
    }
    // `SET TIME ZONE INTERVAL …` has a grammar of its own that `SET timezone TO` does not know.
    if &*name == "timezone" && words.word("interval") {
        return None;
    }
    let first = words.next.what;
    let value = words.rest()?;
    if value.eq_ignore_ascii_case("default")
        || (&*name == "timezone" && value.eq_ignore_ascii_case("local"))
    {
        return Some(Effect::Reset { name });
    }
    // What is made from now on is temporary without saying so.
    if &*name == "search_path" && makes_temporary(&value, first) {
        return None;
    }
    Some(Effect::Set { name, value })
}

/// Whether tables would be made in the temporary schema: it stands first in the search path.
fn makes_temporary(path: &str, first: What) -> bool {
    let name = match first {
        What::String | What::Quoted => path.get(1..).unwrap_or_default(),
        _ => path,
    };
    name.get(..7).is_some_and(|name| name.eq_ignore_ascii_case("pg_temp"))
}

fn reset(words: &mut Words<'_>) -> Option<Effect> {
    if words.word("all") {
        return Some(Effect::ResetAll);
    }
    if words.word("session") {
        let name = "session_authorization".into();
        return words.word("authorization").then_some(Effect::Reset { name });
    }
    if words.word("time") {
        return words.word("zone").then(|| Effect::Reset { name: "timezone".into() });
    }
    if words.word("transaction") {
        return Some(Effect::None);
    }
    match words.name()? {
        name if is_of_transaction(&name) => Some(Effect::None),
        name if is_bound(&name) => None,
        name => Some(Effect::Reset { name }),
    }
}
