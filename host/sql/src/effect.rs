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
    /// It has sent a statement too large to be looked at.
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
            PinReason::Unseen => "statement too large",
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

    /// Takes the next token when it is this keyword.
    fn word(&mut self, word: &str) -> bool {
        let hit = self.next.what == What::Word && self.lexer.is(self.next, word);
        if hit {
            self.advance();
        }
        hit
    }

    fn identifier(&mut self) -> Option<Box<str>> {
        matches!(self.next.what, What::Word | What::Quoted)
            .then(|| self.advance())
            .map(|token| self.lexer.folded(token).into())
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

/// The effect of a SET, RESET, DISCARD or DEALLOCATE that begins at `start`.
pub(crate) fn of_session_verb(text: &[u8], start: usize, backslash_escapes: bool) -> Effect {
    let mut words = Words::new(text, start, backslash_escapes);
    let effect = if words.word("set") {
        set(&mut words)
    } else if words.word("reset") {
        reset(&mut words)
    } else if words.word("discard") {
        Some(if words.word("all") { Effect::DiscardAll } else { Effect::Pin(PinReason::Settings) })
    } else if words.word("deallocate") {
        words.word("prepare");
        match words.word("all") {
            true => Some(Effect::Deallocate(None)),
            false => words.identifier().map(|name| Effect::Deallocate(Some(name))),
        }
    } else {
        None
    };
    effect.unwrap_or(Effect::Pin(PinReason::Settings))
}

fn set(words: &mut Words<'_>) -> Option<Effect> {
    if words.word("local") || words.word("transaction") || words.word("constraints") {
        return Some(Effect::None);
    }
    words.word("session");
    if words.word("characteristics") || words.word("authorization") || words.word("role") {
        return None;
    }
    if words.word("time") {
        words.word("zone");
        return assignment(words, "timezone".into());
    }
    if words.word("names") {
        return assignment(words, "client_encoding".into());
    }
    if words.word("schema") {
        return assignment(words, "search_path".into());
    }
    if words.word("xml") {
        return None;
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

fn assignment(words: &mut Words<'_>, name: Box<str>) -> Option<Effect> {
    if matches!(&*name, "role" | "session_authorization") {
        return None;
    }
    let value = words.rest()?;
    if value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local") {
        return Some(Effect::Reset { name });
    }
    // `SET TIME ZONE INTERVAL …` has a grammar of its own that `SET timezone TO` does not know.
    if &*name == "timezone" && value.to_ascii_lowercase().starts_with("interval") {
        return None;
    }
    Some(Effect::Set { name, value })
}

fn reset(words: &mut Words<'_>) -> Option<Effect> {
    if words.word("all") {
        return Some(Effect::ResetAll);
    }
    if words.word("session") || words.word("role") {
        return None;
    }
    if words.word("time") {
        words.word("zone");
        return Some(Effect::Reset { name: "timezone".into() });
    }
    words.name().map(|name| Effect::Reset { name })
}
