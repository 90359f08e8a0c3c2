//! What the body of a function, or of a DO block, may leave behind in its session. Bodies are in any language, so this
//! looks for what gives them away rather than following the grammar, and into strings too, which may be run as SQL. It
//! errs on the side of finding something.

use std::collections::HashSet;

use crate::effect::PinReason;
use crate::lex::{Lexer, Token, What};
use crate::scan::builtin;
use crate::scan::level::Arguments;
use crate::words::Word;

/// Strings in strings that are looked into.
const MAX_DEPTH: u8 = 3;

/// What a body may leave behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Why a session would have to stay on its server afterwards.
    pub pin: Option<PinReason>,
    /// All names, operators and unquoted words in it, folded: what it may call or use.
    pub names: HashSet<Box<str>>,
}

/// Looks through a body.
pub fn body(text: &[u8]) -> Body {
    let mut body = Body::default();
    body.look(text, 0);
    body
}

impl Body {
    fn look(&mut self, text: &[u8], depth: u8) {
        let mut lexer = Lexer::new(text, 0, false);
        let mut previous = Token::NONE;
        let mut token = lexer.token();
        loop {
            if token.what == What::Unterminated {
                // Not SQL: what a comment or a string is there is not known.
                self.find(PinReason::Function);
            }
            if matches!(token.what, What::End | What::Unterminated) {
                return;
            }
            let next = lexer.token();
            match token.what {
                What::String if depth < MAX_DEPTH => {
                    self.look(inside(lexer.bytes(token)), depth + 1);
                }
                What::Word => self.word(&lexer, previous, token, next),
                What::Quoted => {
                    let name = lexer.folded(token);
                    if next.is(b'(') {
                        self.call(&name);
                    }
                    self.names.insert(name.into());
                }
                What::Operator => {
                    self.names.insert(String::from_utf8_lossy(lexer.bytes(token)).into());
                }
                _ => {}
            }
            (previous, token) = (token, next);
        }
    }

    fn word(&mut self, lexer: &Lexer<'_>, previous: Token, token: Token, next: Token) {
        let name = lexer.folded(token);
        if next.is(b'(') {
            if name == "set_config" && !is_local(lexer, next) {
                self.find(PinReason::Settings);
            }
            self.call(&name);
        }
        if !self.names.contains(&*name) {
            self.names.insert(name.into());
        }
        if matches!(lexer.bytes(token), b"_SHARED" | b"GD" | b"SD") {
            self.find(PinReason::Function);
        }
        let made = matches!(previous.word, Word::Create | Word::Replace | Word::Into)
            || matches!(previous.word, Word::Local | Word::Global);
        let begins = begins_statement(lexer, previous);
        // In dynamic SQL the name may be put behind a string.
        let named = next.is_name() || next.what == What::End;
        let reason = match token.word {
            Word::Temp | Word::Temporary if made => PinReason::TemporaryTable,
            Word::PgTemp => PinReason::TemporaryTable,
            Word::Hold if previous.word == Word::With => PinReason::HoldCursor,
            // SET LOCAL and SET TRANSACTION end with the transaction. The SET of UPDATE stands behind a name.
            Word::Set | Word::Reset
                if begins && !matches!(next.word, Word::Local | Word::Transaction) =>
            {
                PinReason::Settings
            }
            Word::Listen if begins && named => PinReason::Listen,
            Word::Load if begins && next.what == What::String => PinReason::Load,
            Word::Prepare if begins && named => PinReason::SqlPrepare,
            Word::Discard | Word::Deallocate if begins && named => PinReason::Function,
            _ => return,
        };
        self.find(reason);
    }

    fn call(&mut self, name: &str) {
        if builtin::locks_session(name) {
            self.find(PinReason::AdvisoryLock);
        } else if builtin::leaves_behind(name) {
            self.find(PinReason::Function);
        }
    }

    /// One that no question to the server can clear outlasts the others.
    fn find(&mut self, reason: PinReason) {
        if self.pin.is_none_or(PinReason::can_be_checked) {
            self.pin = Some(reason);
        }
    }
}

/// Whether a statement may begin behind this token, in SQL or PL/pgSQL.
fn begins_statement(lexer: &Lexer<'_>, previous: Token) -> bool {
    let bytes = lexer.bytes(previous);
    previous.what == What::End
        || previous.is(b';')
        || matches!(previous.word, Word::Begin | Word::Then | Word::Else)
        || bytes.eq_ignore_ascii_case(b"loop")
        || bytes == b">>"
}

/// Whether the arguments of `set_config`, from this parenthesis on, make the setting end with the transaction.
fn is_local(lexer: &Lexer<'_>, open: Token) -> bool {
    let mut lexer = Lexer::new(lexer.text, open.end, false);
    let mut arguments = Arguments::default();
    let mut depth = 0_usize;
    loop {
        let token = lexer.token();
        match token.what {
            What::End | What::Unterminated => return false,
            What::Punct(b'(' | b'[') => {
                arguments.nest();
                depth += 1;
            }
            What::Punct(b')' | b']') if depth == 0 => return arguments.is_local(),
            What::Punct(b')' | b']') => depth -= 1,
            _ if depth == 0 => arguments.add(token, lexer.bytes(token)),
            _ => {}
        }
    }
}

/// What a string contains: without its quotes, and its prefix.
fn inside(string: &[u8]) -> &[u8] {
    let quote = |b: &u8| matches!(b, b'\'' | b'$');
    let Some(first) = string.iter().position(quote) else { return string };
    let tag = match string[first] {
        b'$' => 1 + string[first + 1..].iter().position(|b| *b == b'$').unwrap_or(0),
        _ => 0,
    };
    let ends = (first + tag + 1, string.len().saturating_sub(tag + 1));
    string.get(ends.0..ends.1).unwrap_or_default()
}
