//! What a text names: tables, views and functions that it reads from, and tables that it changes.

use crate::lex::{Lexer, Token, What};
use crate::scan::level::{Level, Region};
use crate::words::Word;

/// Most names that are told: a statement of more is not for a policy to judge by them.
const MAX_RELATIONS: usize = 64;
/// Deepest nesting that is followed, as in a scan.
const MAX_DEPTH: usize = 64;

/// Tables, views and functions in FROM, and what INSERT, UPDATE, DELETE, MERGE, COPY and TRUNCATE change, each once, in
/// the order of the text, folded as PostgreSQL does, with the schema where it is written. Names that a WITH of the
/// same text declares are left out where they stand for that. At most 64; none for a text longer than
/// [`crate::MAX_SCAN_LEN`].
pub fn relations(text: &[u8]) -> Vec<String> {
    if text.len() > crate::MAX_SCAN_LEN {
        return Vec::new();
    }
    let lexer = Lexer::new(text, 0, false);
    let found = Vec::new();
    Search { lexer, found, places: vec![Place::default()], declared: Vec::new() }.run()
}

/// A level of parentheses.
#[derive(Clone, Copy, Default)]
struct Place {
    level: Level,
    /// What the query in it does.
    verb: Word,
    /// The list of USING has been seen.
    used: bool,
    recursive: bool,
    /// It is the body of a common table expression.
    body: bool,
    /// The name of the common table expression whose body comes, or is being read.
    declares: Option<Token>,
}

/// What the next name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Nothing,
    /// Something that is read from: it may be a common table expression.
    Source,
    /// A table that is changed.
    Target,
}

struct Search<'a> {
    lexer: Lexer<'a>,
    found: Vec<String>,
    places: Vec<Place>,
    /// Names of common table expressions that may be used, with the depth at which they were declared.
    declared: Vec<(usize, String)>,
}

impl Search<'_> {
    fn run(mut self) -> Vec<String> {
        let (mut previous, mut token) = (Token::NONE, self.lexer.token());
        let mut expected = Expected::Nothing;
        while !matches!(token.what, What::End | What::Unterminated) {
            let mut next = self.lexer.token();
            if expected != Expected::Nothing && token.is_name() && !token.word.is_reserved() {
                (token, next) = self.name(token, next, expected);
                expected = Expected::Nothing;
            } else {
                expected = self.token(previous, token, next, expected);
            }
            if self.found.len() >= MAX_RELATIONS || self.places.len() > MAX_DEPTH {
                break;
            }
            (previous, token) = (token, next);
        }
        self.found
    }

    /// A name where one is expected: takes it, with its schema.
    fn name(&mut self, first: Token, mut next: Token, expected: Expected) -> (Token, Token) {
        let (mut last, mut name) = (first, self.lexer.folded(first).into_owned());
        let mut known = first.what != What::UnicodeQuoted;
        while next.is(b'.') {
            let part = self.lexer.token();
            next = self.lexer.token();
            known &= part.is_name() && part.what != What::UnicodeQuoted;
            name = format!("{name}.{}", self.lexer.folded(part));
            last = part;
        }
        let own = expected == Expected::Source && self.declared.iter().any(|(_, d)| *d == name);
        // ROWS FROM (…) is no relation.
        let rows = expected == Expected::Source && next.word == Word::From;
        if known && !own && !rows && !self.found.contains(&name) {
            self.found.push(name);
        }
        (last, next)
    }

    /// Any other token. Tells what a name behind it is.
    fn token(
        &mut self,
        previous: Token,
        token: Token,
        next: Token,
        expected: Expected,
    ) -> Expected {
        match token.what {
            What::Punct(b'(') => return self.open(previous, expected),
            What::Punct(b')') => {
                self.close();
                return Expected::Nothing;
            }
            What::Punct(b';') if self.places.len() == 1 => {
                self.places = vec![Place::default()];
                self.declared.clear();
                return Expected::Nothing;
            }
            _ => {}
        }
        let Some(place) = self.places.last_mut() else { return Expected::Nothing };
        if place.verb == Word::Plain && token.what == What::Word {
            place.begin(token.word);
        }
        if place.level.with
            && token.is_name()
            && declares(previous)
            && token.word != Word::Recursive
        {
            place.declares = Some(token);
        }
        let expected = place.expects(previous, token, next, expected);
        place.level.advance(token, previous);
        place.level.fresh = false;
        place.level.query &= place.is_query();
        if place.recursive && place.declares.is_some() {
            self.declare();
        }
        expected
    }

    fn open(&mut self, previous: Token, expected: Expected) -> Expected {
        let Some(outer) = self.places.last() else { return Expected::Nothing };
        let level = outer.level.inner(previous);
        let goes_on = expected == Expected::Source && level.region == Region::From;
        let body = outer.level.with && matches!(previous.word, Word::As | Word::Materialized);
        self.places.push(Place { level, body, ..Place::default() });
        if goes_on { Expected::Source } else { Expected::Nothing }
    }

    /// Names that were declared inside are not known outside.
    fn close(&mut self) {
        let body = self.places.len() > 1 && self.places.pop().is_some_and(|inner| inner.body);
        let depth = self.places.len();
        self.declared.retain(|(at, _)| *at <= depth);
        // In its own body the name still means what it means outside, unless it is RECURSIVE.
        if body {
            self.declare();
        }
    }

    /// From here on the name of the common table expression stands for that.
    fn declare(&mut self) {
        let depth = self.places.len();
        if let Some(name) = self.places.last_mut().and_then(|place| place.declares.take()) {
            self.declared.push((depth, self.lexer.folded(name).into_owned()));
        }
    }
}

impl Place {
    /// The first word of what stands here.
    fn begin(&mut self, word: Word) {
        self.verb = word;
        self.level.fresh = true;
        self.level.with = word == Word::With;
        self.level.query = self.is_query();
    }

    /// Whether FROM begins a clause in it. GRANT SELECT … is none.
    fn is_query(&self) -> bool {
        matches!(self.verb, Word::Select | Word::With | Word::Values | Word::Table)
            || matches!(self.verb, Word::Insert | Word::Update | Word::Delete | Word::Merge)
    }

    /// What a name behind this token is.
    fn expects(
        &mut self,
        previous: Token,
        token: Token,
        next: Token,
        expected: Expected,
    ) -> Expected {
        use Word::{Delete, Insert, Merge, Truncate, Update};
        if token.is(b',') {
            let list = matches!(self.level.region, Region::From | Region::On);
            return match self.verb {
                Truncate => Expected::Target,
                _ if list => Expected::Source,
                _ => Expected::Nothing,
            };
        }
        if token.what != What::Word {
            return Expected::Nothing;
        }
        match token.word {
            Word::Recursive if previous.word == Word::With => self.recursive = true,
            // After the list of WITH, or inside of EXPLAIN and the like, the verb comes later.
            Word::Select | Word::Values if self.is_open() || self.verb == Word::Create => {
                self.turn(token.word);
            }
            Insert | Delete | Merge if self.is_open() => self.turn(token.word),
            Update if self.is_open() && !is_lock(previous) => self.turn(Update),
            _ => {}
        }
        match token.word {
            Word::Into if matches!(previous.word, Insert | Merge) => Expected::Target,
            Word::From if previous.word == Delete => Expected::Target,
            Word::From if previous.word == Word::Distinct => Expected::Nothing,
            Word::From if self.level.query => Expected::Source,
            Word::Join => Expected::Source,
            Update if self.verb == Update && !is_lock(previous) => Expected::Target,
            Word::Copy if self.verb == Word::Copy && !next.is(b'(') => Expected::Target,
            Truncate if self.verb == Truncate => Expected::Target,
            Word::Table if self.verb == Truncate => Expected::Target,
            Word::Table if matches!(self.verb, Word::Table | Word::Select | Word::With) => {
                Expected::Source
            }
            Word::Using if matches!(self.verb, Delete | Merge) && !self.used => {
                self.used = true;
                self.level.region = Region::From;
                Expected::Source
            }
            Word::Only | Word::Lateral => expected,
            _ => Expected::Nothing,
        }
    }

    /// Whether the main verb has still to come.
    fn is_open(&self) -> bool {
        matches!(self.verb, Word::With | Word::Explain | Word::Prepare | Word::Declare)
            && !(self.level.with && self.declares.is_some())
    }

    /// The main verb has come.
    fn turn(&mut self, word: Word) {
        self.verb = word;
        self.level.query = true;
        self.level.with = false;
    }
}

/// Whether UPDATE behind this is part of another clause.
fn is_lock(previous: Token) -> bool {
    matches!(previous.word, Word::For | Word::Key | Word::Do | Word::Then | Word::On | Word::Or)
}

/// Whether what follows this token in the list of WITH is the name of a common table expression.
fn declares(previous: Token) -> bool {
    previous.is(b',') || matches!(previous.word, Word::With | Word::Recursive)
}
