use crate::lex::{Lexer, Token, What};

/// What a statement does to its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that lasts.
    None,
    /// `SET [SESSION] name TO value`, the only statement of its text: it can follow the client.
    Set {
        /// Folded name.
        name: Box<str>,
        /// SQL text of the value.
        value: Box<str>,
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
    /// `DEALLOCATE name`, or all.
    Deallocate(Option<Box<str>>),
    /// Opens a transaction block.
    Begin {
        /// It promises not to write.
        read_only: bool,
    },
    /// Ends a transaction block: COMMIT, END, ROLLBACK, ABORT; not a savepoint, and not two-phase commit.
    End,
    /// Leaves something that cannot follow the client.
    Pin(PinReason),
}

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
    /// It has sent what a scan does not understand: a text too large, or nested too deeply.
    Unseen,
}

impl PinReason {
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

/// Settings that a statement of the form `SET name TO value` can't carry to another server: who the session is,
/// and the state of its random numbers.
fn is_bound(name: &str) -> bool {
    matches!(name, "role" | "session_authorization" | "seed")
}

/// The effect of a SET, RESET, DISCARD or DEALLOCATE that begins at `start`.
pub(crate) fn of_session_verb(text: &[u8], start: usize, backslash_escapes: bool) -> Effect {
    let mut words = Words::new(text, start, backslash_escapes);
    let effect = if words.word("set") {
        set(&mut words)
    } else if words.word("reset") {
        reset(&mut words)
    } else if words.word("discard") {
        // The other forms drop what the server can make again.
        Some(if words.word("all") { Effect::DiscardAll } else { Effect::None })
    } else if words.word("deallocate") {
        deallocate(&mut words)
    } else {
        None
    };
    effect.unwrap_or(Effect::Pin(PinReason::Settings))
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
    if words.word("local") || words.word("transaction") || words.word("constraints") {
        return Some(Effect::None);
    }
    words.word("session");
    if words.word("characteristics") {
        return None;
    }
    if words.word("authorization") {
        return undone(words, "default");
    }
    if words.word("role") {
        return undone(words, "none");
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

/// Who the session is goes back to what it was: a session that had changed it is pinned since then.
fn undone(words: &mut Words<'_>, word: &str) -> Option<Effect> {
    (words.word(word) && words.at_end()).then_some(Effect::None)
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
    if &*name == "search_path" && makes_temporary(&value, first) {
        return Some(Effect::Pin(PinReason::TemporaryTable));
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
        return words.word("authorization").then_some(Effect::None);
    }
    if words.word("time") {
        return words.word("zone").then(|| Effect::Reset { name: "timezone".into() });
    }
    if words.word("transaction") {
        return Some(Effect::None);
    }
    match words.name()? {
        name if is_of_transaction(&name) => Some(Effect::None),
        name if is_bound(&name) && &*name != "seed" => Some(Effect::None),
        name => Some(Effect::Reset { name }),
    }
}
