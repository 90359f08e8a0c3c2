//! From tokens to kind, facts and effect: one pass over the text, with one token of foresight.

mod batch;
pub(crate) mod builtin;
pub(crate) mod level;
mod names;
mod statement;

use howdah_decision::{Facts, Kind};

use self::batch::Promise;
use self::level::{Level, Region};
use self::statement::Current;
use crate::body::body;
use crate::comment::hints;
use crate::digest::Digest;
use crate::effect::{Effect, PinReason};
use crate::lex::{Lexer, Token, What};
use crate::words::Word;
use crate::{Catalog, ScanOptions, Statement};

/// Deepest nesting of parentheses that is followed. PostgreSQL's own limit is its stack (`max_stack_depth`);
/// what people and generators write stays below twenty. A deeper text counts as unknown.
const MAX_DEPTH: usize = 64;

/// A text while it is being scanned.
pub(crate) struct Scan<'a> {
    lexer: Lexer<'a>,
    options: ScanOptions,
    catalog: &'a dyn Catalog,
    digest: Digest,
    /// What is known of the statements that have ended.
    found: Statement,
    effects: Vec<Effect>,
    promise: Promise,
    current: Current,
    levels: [Level; MAX_DEPTH],
    depth: usize,
    previous: Token,
    /// The token before the name that is being read, with its schema.
    head: Token,
    /// The name before the dot that is `previous`.
    schema: Option<Token>,
    /// The next `(` opens the arguments of `set_config`.
    configures: bool,
    /// What a constant says has made a difference, or may have made one.
    pub(crate) reads_constants: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a [u8], options: ScanOptions, catalog: &'a dyn Catalog) -> Scan<'a> {
        let mut levels = [Level::default(); MAX_DEPTH];
        levels[0] = Level::outermost();
        Scan {
            lexer: Lexer::new(text, 0, options.backslash_escapes),
            options,
            catalog,
            digest: Digest::new(),
            found: Statement::empty(),
            effects: Vec::new(),
            promise: Promise::Open,
            current: Current::new(),
            levels,
            depth: 0,
            previous: Token::NONE,
            head: Token::NONE,
            schema: None,
            configures: false,
            reads_constants: false,
        }
    }

    pub(crate) fn run(&mut self) -> Statement {
        let text = self.lexer.text;
        let mut token = self.lexer.token();
        let begin = token.start;
        let mut end = begin;
        while token.what != What::End {
            if token.what == What::Unterminated {
                return Statement::unknown(text, Facts::NONE, Effect::None);
            }
            let next;
            if token.is(b';') && self.depth == 0 && self.current.atomic == 0 {
                self.end_statement();
                next = self.lexer.token();
            } else {
                end = token.end;
                next = self.token_after(token);
                self.digest(token, next);
                self.token(token, next);
                if self.depth >= MAX_DEPTH {
                    let effect = Effect::Pin(PinReason::Unseen);
                    let facts = Facts::VOLATILE.with(Facts::STICKY);
                    return Statement::unknown(text, facts, effect);
                }
            }
            self.previous = token;
            token = next;
        }
        if self.depth > 0 || self.current.atomic > 0 {
            return Statement::unknown(text, Facts::NONE, Effect::None);
        }
        self.end_statement();
        self.found.facts = self.found.facts.with(hints(text, begin, end));
        self.finish()
    }

    /// The token after `token`. After a dot it is no keyword; after AS in a query it is a label.
    fn token_after(&mut self, token: Token) -> Token {
        let mut next = self.lexer.token();
        let label = token.word == Word::As && self.current.is_query();
        if token.is(b'.') || (label && !next.word.counts_after_as()) {
            next.word = Word::Plain;
        }
        next
    }

    fn digest(&mut self, token: Token, next: Token) {
        let previous = self.previous;
        if !self.current.begun && self.found.statements > 0 {
            self.digest.separator();
        }
        let sign = is_sign(&self.lexer, previous, token, next);
        if !sign && !is_continued(previous, token) {
            let list = matches!(previous.word, Word::In | Word::Values);
            self.digest.add(token.what, self.lexer.bytes(token), list);
        }
    }

    fn token(&mut self, token: Token, next: Token) {
        if !self.current.begun {
            self.current.begun = true;
            self.current.start = token.start;
        }
        if !token.is(b'.') && !self.previous.is(b'.') {
            self.head = self.previous;
            self.schema = None;
        }
        self.language(token);
        match token.what {
            What::Punct(b'(') => return self.open(),
            What::Punct(b')') => return self.close(),
            What::Punct(b'.') if self.previous.is_name() => self.schema = Some(self.previous),
            What::Word => self.word(token, next),
            What::String if self.current.verb == Word::Do => self.block(token),
            What::String if self.current.kind == Kind::Ddl => self.definition(token),
            What::Quoted | What::UnicodeQuoted => self.name(token, next),
            What::Operator => self.operator(token),
            What::Parameter => self.parameter(token),
            _ => {}
        }
        if self.current.verb == Word::Plain {
            // It begins with no word: the server will complain.
            self.current.verb = Word::Fixed;
        }
        let (bytes, previous) = (self.lexer.bytes(token), self.previous);
        let level = self.level();
        level.advance(token, previous);
        level.fresh = false;
        if level.configures {
            level.arguments.add(token, bytes);
            self.reads_constants = true;
        }
    }

    fn word(&mut self, token: Token, next: Token) {
        let (previous, depth, fresh) = (self.previous, self.depth, self.level().fresh);
        if self.current.awaits_verb() {
            self.current.verb(token, next, depth > 0, fresh);
            if token.word == Word::With && self.current.verb == Word::With {
                self.level().with = true;
            }
            if token.word == Word::Copy {
                self.level().region = Region::From;
            }
            if matches!(self.current.verb, Word::Update | Word::Delete) {
                self.level().unbounded = true;
            }
        } else {
            if let Some(level) = self.levels.get_mut(depth.min(MAX_DEPTH - 1)) {
                self.current.keyword(token, previous, next, level);
            }
            self.name(token, next);
        }
    }

    /// Of languages other than SQL and PL/pgSQL it is not known what their bodies keep.
    fn language(&mut self, token: Token) {
        let defines = self.current.kind == Kind::Ddl || self.current.verb == Word::Do;
        if !defines || !self.lexer.bytes(self.previous).eq_ignore_ascii_case(b"language") {
            return;
        }
        if matches!(&*self.lexer.folded(token), "sql" | "plpgsql") {
            return;
        }
        match self.current.verb {
            Word::Do => self.current.stay(PinReason::Function),
            _ => self.current.arms = true,
        }
    }

    /// The body of a DO block.
    fn block(&mut self, token: Token) {
        self.reads_constants = true;
        self.current.volatile = true;
        let body = body(self.lexer.bytes(token));
        let used = body.names.iter().filter_map(|name| self.catalog.pins(name));
        for reason in body.pin.into_iter().chain(used) {
            self.current.stay(reason);
        }
    }

    /// A string in DDL, which may be the body of a function.
    fn definition(&mut self, token: Token) {
        self.reads_constants = true;
        let body = body(self.lexer.bytes(token));
        self.current.arms |=
            body.pin.is_some() || body.names.iter().any(|name| self.catalog.pins(name).is_some());
    }

    fn parameter(&mut self, token: Token) {
        let digits = self.lexer.bytes(token).get(1..).unwrap_or_default();
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        self.found.parameters = self.found.parameters.max(number.unwrap_or(u16::MAX));
    }

    fn open(&mut self) {
        let previous = self.previous;
        let mut inner = self.level().inner(previous);
        inner.configures = std::mem::take(&mut self.configures);
        self.level().arguments.nest();
        self.depth += 1;
        *self.level() = inner;
    }

    fn close(&mut self) {
        let level = *self.level();
        if level.configures && !level.arguments.is_local() {
            self.current.stay(PinReason::Settings);
        }
        self.current.unbounded |= level.unbounded;
        self.depth = self.depth.saturating_sub(1);
        self.level().fresh = false;
    }

    /// The level of parentheses that the scan is in. The last one stands in for what is deeper, but then the scan
    /// ends.
    fn level(&mut self) -> &mut Level {
        &mut self.levels[self.depth.min(MAX_DEPTH - 1)]
    }
}

/// Whether an operator is the sign of the number that follows.
pub(crate) fn is_sign(lexer: &Lexer<'_>, previous: Token, token: Token, next: Token) -> bool {
    token.what == What::Operator
        && next.what == What::Number
        && matches!(previous.what, What::Operator | What::Punct(b'(' | b',' | b'['))
        && matches!(lexer.bytes(token), b"-" | b"+")
}

/// Whether a string goes on with the one before: a string that a newline continues is one string.
pub(crate) fn is_continued(previous: Token, token: Token) -> bool {
    token.what == What::String && previous.what == What::String
}
