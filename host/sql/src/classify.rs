//! From tokens to kind, facts and effect.

use howdah_decision::{Facts, Kind};

use crate::comment::hint;
use crate::digest::Digest;
use crate::effect::{Effect, PinReason, of_session_verb};
use crate::lex::{Lexer, Token, What};
use crate::words::{ends_from, is_advisory_lock, is_always_volatile, is_no_function, kind_of_verb};
use crate::{Catalog, ScanOptions, Statement, Volatility};

/// Deepest nesting of parentheses that is kept track of; PostgreSQL's own limit is its stack. What is nested
/// deeper counts as volatile.
const MAX_DEPTH: usize = 64;

/// What a level of parentheses is at.
#[derive(Clone, Copy, Default)]
struct Level {
    /// In the list of a FROM clause.
    from: bool,
    /// It was opened by `ON` after `DISTINCT`: an expression follows its end.
    distinct_on: bool,
    /// Nothing but `(` stands before in it.
    fresh: bool,
}

/// The statement that is being scanned.
struct Current {
    start: usize,
    kind: Kind,
    verb: Option<Verb>,
    /// The main verb of WITH has not come yet.
    in_with: bool,
    pin: Option<PinReason>,
    begin_read_only: bool,
    /// EXPLAIN with ANALYZE, whose subject has not come yet.
    analyze: bool,
    /// COPY … TO STDOUT.
    copy_out: bool,
    /// A query in parentheses modifies data.
    nested_write: bool,
    words: u32,
    /// `BEGIN ATOMIC` of a function body, with the CASEs in it.
    atomic: u32,
    locking: Locking,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Select,
    Explain,
    Copy,
    Begin,
    Commit,
    Rollback,
    Session,
    Create,
    Declare,
    Prepare,
    Other,
}

/// How far `FOR [NO KEY] UPDATE` has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locking {
    No,
    For,
}

impl Current {
    fn new() -> Current {
        Current {
            start: 0,
            kind: Kind::Empty,
            verb: None,
            in_with: false,
            pin: None,
            begin_read_only: false,
            analyze: false,
            copy_out: false,
            nested_write: false,
            words: 0,
            atomic: 0,
            locking: Locking::No,
        }
    }

    fn at_least(&mut self, kind: Kind) {
        self.kind = self.kind.max(kind);
    }
}

struct Scan<'a> {
    lexer: Lexer<'a>,
    catalog: &'a dyn Catalog,
    digest: Digest,
    options: ScanOptions,
    kind: Kind,
    facts: Facts,
    effect: Effect,
    statements: u32,
    parameters: u16,
    current: Current,
    levels: [Level; MAX_DEPTH],
    depth: usize,
    /// The two tokens before.
    previous: Token,
    before: Token,
    /// The schema of a qualified name, when `previous` is a dot.
    qualifier: Option<Token>,
}

/// Scans the text.
pub(crate) fn classify(text: &[u8], options: ScanOptions, catalog: &dyn Catalog) -> Statement {
    let nothing = Token { what: What::End, start: 0, end: 0 };
    let mut scan = Scan {
        lexer: Lexer::new(text, 0, options.backslash_escapes),
        catalog,
        digest: Digest::new(),
        options,
        kind: Kind::Empty,
        facts: Facts::NONE,
        effect: Effect::None,
        statements: 0,
        parameters: 0,
        current: Current::new(),
        levels: [Level::default(); MAX_DEPTH],
        depth: 0,
        previous: nothing,
        before: nothing,
        qualifier: None,
    };
    scan.run();
    scan.finish()
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut token = self.lexer.token();
        if let Some((start, end)) = self.lexer.comment.take() {
            self.facts = self.facts.with(hint(&self.lexer.text[start..end]));
        }
        loop {
            match token.what {
                What::End => break,
                What::Unterminated => {
                    self.kind = Kind::Unknown;
                    self.statements += 1;
                    return;
                }
                What::Punct(b';') if self.depth == 0 && self.current.atomic == 0 => {
                    self.end_statement();
                }
                _ => self.lexer.comment = None,
            }
            let next = self.lexer.token();
            self.digest.add(token.what, self.lexer.bytes(token));
            if token.what != What::Punct(b';') || self.depth > 0 || self.current.atomic > 0 {
                self.token(token, next);
            }
            self.before = self.previous;
            self.previous = token;
            token = next;
        }
        self.end_statement();
        if let Some((start, end)) = self.lexer.comment {
            self.facts = self.facts.with(hint(&self.lexer.text[start..end]));
        }
    }

    fn finish(mut self) -> Statement {
        if self.statements > 1 {
            self.facts = self.facts.with(Facts::SEVERAL);
        }
        Statement {
            kind: self.kind,
            facts: self.facts,
            digest: self.digest.finish(),
            effect: self.effect,
            statements: self.statements,
            parameters: self.parameters,
        }
    }

    fn token(&mut self, token: Token, next: Token) {
        if self.current.words == 0 {
            self.current.start = token.start;
        }
        match token.what {
            What::Word => self.word(token, next),
            What::Quoted => self.identifier(token, next),
            What::Punct(b'(') => self.open(),
            What::Punct(b')') => self.depth = self.depth.saturating_sub(1),
            What::Operator => self.operator(token),
            What::Parameter => self.parameter(token),
            _ => {}
        }
        if token.what != What::Punct(b'(') {
            self.current.words += 1;
        }
        self.level().fresh = token.what == What::Punct(b'(');
        self.qualifier = match token.what {
            What::Punct(b'.') => self.qualifier.or(Some(self.previous)),
            _ => None,
        };
    }

    fn level(&mut self) -> &mut Level {
        &mut self.levels[self.depth.min(MAX_DEPTH - 1)]
    }

    fn open(&mut self) {
        let distinct_on = self.lexer.is(self.previous, "on")
            && self.before.what == What::Word
            && self.lexer.is(self.before, "distinct");
        self.depth += 1;
        if self.depth >= MAX_DEPTH {
            self.depth = MAX_DEPTH - 1;
            self.facts = self.facts.with(Facts::VOLATILE);
        }
        *self.level() = Level { distinct_on, fresh: true, from: false };
    }

    fn operator(&mut self, token: Token) {
        let symbol = std::str::from_utf8(self.lexer.bytes(token)).unwrap_or("");
        if self.catalog.operator_is_volatile(symbol) {
            self.facts = self.facts.with(Facts::VOLATILE);
        }
    }

    fn parameter(&mut self, token: Token) {
        let digits = std::str::from_utf8(&self.lexer.bytes(token)[1..]).unwrap_or("");
        self.parameters = self.parameters.max(digits.parse().unwrap_or(u16::MAX));
    }

    fn word(&mut self, token: Token, next: Token) {
        // Names after a dot are never keywords.
        if self.previous.what == What::Punct(b'.') {
            return self.identifier(token, next);
        }
        let mut folded = [0_u8; 64];
        let bytes = self.lexer.bytes(token);
        let Some(word) = fold(bytes, &mut folded) else {
            return self.identifier(token, next);
        };
        if self.current.verb.is_none() {
            return self.verb(word);
        }
        self.keyword(word);
        if next.what == What::Punct(b'(') && (is_no_function(word) || self.is_construct(word)) {
            return;
        }
        self.identifier(token, next);
    }

    /// Words that PostgreSQL does not reserve, where their place shows that they are no function's name.
    fn is_construct(&self, word: &str) -> bool {
        let after = |words: &[&str]| words.iter().any(|w| self.lexer.is(self.previous, w));
        match word {
            "over" | "filter" => self.previous.what == What::Punct(b')'),
            "materialized" => after(&["as", "not"]),
            "sets" => after(&["grouping"]),
            "by" => after(&["order", "group", "partition"]),
            "cube" | "rollup" => after(&["by", ","]),
            "varying" => after(&["character", "char", "bit"]),
            _ => false,
        }
    }

    /// The first word of a statement.
    fn verb(&mut self, word: &str) {
        let kind = kind_of_verb(word);
        self.current.kind = kind;
        self.current.verb = Some(match word {
            "select" | "values" | "table" | "with" => Verb::Select,
            "explain" => Verb::Explain,
            "copy" => Verb::Copy,
            "begin" | "start" => Verb::Begin,
            "commit" | "end" => Verb::Commit,
            "rollback" | "abort" => Verb::Rollback,
            "set" | "reset" | "discard" | "deallocate" => Verb::Session,
            "create" => Verb::Create,
            "declare" => Verb::Declare,
            "prepare" => Verb::Prepare,
            _ => Verb::Other,
        });
        self.current.in_with = word == "with";
        self.current.pin = match word {
            "listen" => Some(PinReason::Listen),
            "load" => Some(PinReason::Load),
            "prepare" => Some(PinReason::SqlPrepare),
            _ => None,
        };
        if word == "copy" {
            self.facts = self.facts.with(Facts::COPY);
        }
        if word == "table" {
            self.level().from = true;
        }
    }

    /// Any other word that is not quoted and not qualified.
    fn keyword(&mut self, word: &str) {
        self.locking(word);
        self.writing_verb(word);
        let top = self.depth == 0;
        match self.current.verb {
            Some(Verb::Select) if word == "into" && top => self.current.at_least(Kind::Write),
            Some(Verb::Explain) => self.explain(word),
            Some(Verb::Copy) if word == "stdout" && top => {
                self.current.copy_out = self.lexer.is(self.previous, "to");
            }
            Some(Verb::Begin | Verb::Session) if word == "only" => {
                self.current.begin_read_only |= self.lexer.is(self.previous, "read");
            }
            Some(Verb::Create) => self.create(word),
            Some(Verb::Declare) if word == "hold" && self.lexer.is(self.previous, "with") => {
                self.current.pin = Some(PinReason::HoldCursor);
            }
            Some(Verb::Prepare) if word == "transaction" && self.current.words == 1 => {
                self.current.kind = Kind::End;
                self.current.pin = None;
                self.current.verb = Some(Verb::Other);
            }
            Some(Verb::Commit | Verb::Rollback) => self.end_words(word),
            _ => {}
        }
        if matches!(word, "temp" | "temporary")
            && self.lexer.is(self.previous, "into")
            && self.current.kind == Kind::Write
        {
            self.current.pin = Some(PinReason::TemporaryTable);
        }
        if word == "from" && self.lexer.is(self.previous, "distinct") {
            // IS DISTINCT FROM compares.
        } else if matches!(word, "from" | "join") {
            self.level().from = true;
        } else if ends_from(word) {
            self.level().from = false;
        }
    }

    /// FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE.
    fn locking(&mut self, word: &str) {
        self.current.locking = match (self.current.locking, word) {
            (_, "for") => Locking::For,
            (Locking::For, "no" | "key") => Locking::For,
            (Locking::For, "update" | "share") => {
                self.facts = self.facts.with(Facts::LOCKS_ROWS);
                Locking::No
            }
            _ => Locking::No,
        };
    }

    /// The verb of a common table expression, of WITH itself, or of what EXPLAIN or PREPARE stand before.
    fn writing_verb(&mut self, word: &str) {
        let main = self.depth == 0 && self.current.in_with;
        let nested = self.depth > 0 && self.level().fresh;
        if !main && !nested {
            return;
        }
        match word {
            "insert" | "update" | "delete" | "merge" => {
                self.current.nested_write |= nested;
                self.current.at_least(Kind::Write);
            }
            "select" | "values" | "table" => {}
            _ => return,
        }
        if main {
            self.current.in_with = false;
        }
    }

    /// EXPLAIN reads; EXPLAIN ANALYZE does what it explains.
    fn explain(&mut self, word: &str) {
        if matches!(word, "analyze" | "analyse") && self.depth <= 1 {
            self.current.analyze = true;
            return;
        }
        let kind = kind_of_verb(word);
        if self.depth == 0 && self.current.analyze && kind != Kind::Unknown {
            self.current.analyze = false;
            self.current.kind = kind.max(self.current.kind);
            self.current.in_with = word == "with";
            self.current.verb = Some(match word {
                "select" | "with" | "values" | "table" => Verb::Select,
                "create" => Verb::Create,
                _ => Verb::Other,
            });
        }
    }

    fn create(&mut self, word: &str) {
        match word {
            "temp" | "temporary"
                if ["create", "replace", "local", "global"]
                    .iter()
                    .any(|word| self.lexer.is(self.previous, word)) =>
            {
                self.current.pin = Some(PinReason::TemporaryTable);
            }
            "atomic" if self.lexer.is(self.previous, "begin") => self.current.atomic += 1,
            "case" if self.current.atomic > 0 => self.current.atomic += 1,
            "end" if self.current.atomic > 0 => self.current.atomic -= 1,
            _ => {}
        }
    }

    /// COMMIT PREPARED writes, ROLLBACK TO does not end the transaction.
    fn end_words(&mut self, word: &str) {
        match word {
            "prepared" => {
                self.current.kind = Kind::Write;
                self.current.verb = Some(Verb::Other);
            }
            "to" => self.current.verb = Some(Verb::Other),
            _ => {}
        }
    }

    /// A name: of a function when `(` follows, else perhaps of a relation.
    fn identifier(&mut self, token: Token, next: Token) {
        let schema = match self.previous.what {
            What::Punct(b'.') => self.qualifier,
            _ => None,
        };
        if next.what == What::Punct(b'(') {
            if !self.is_alias(token) {
                self.call(schema, token);
            }
            return;
        }
        if next.what == What::Punct(b'.') {
            if self.current.verb == Some(Verb::Create)
                && matches!(&*self.lexer.folded(token), "pg_temp")
            {
                self.current.pin = Some(PinReason::TemporaryTable);
            }
            return;
        }
        if self.level().from {
            let name = self.lexer.folded(token);
            let schema = schema.map(|s| self.lexer.folded(s));
            if self.catalog.relation_is_volatile(schema.as_deref(), &name) {
                self.facts = self.facts.with(Facts::VOLATILE);
            }
        }
    }

    /// Whether a name before `(` names something new: a common table expression, or an alias with columns.
    fn is_alias(&mut self, token: Token) -> bool {
        let previous = self.previous;
        if previous.what == What::Operator && self.lexer.bytes(previous) == b"::" {
            return true;
        }
        if previous.what == What::Word
            && ["as", "with", "recursive", "into", "index", "table", "copy"]
                .iter()
                .any(|word| self.lexer.is(previous, word))
        {
            return true;
        }
        if self.depth == 0 && self.current.in_with && previous.what == What::Punct(b',') {
            return true;
        }
        if !self.level().from {
            return self.current.kind == Kind::Ddl && token.what == What::Quoted;
        }
        match previous.what {
            What::Quoted => true,
            What::Punct(b')') => !self.levels[(self.depth + 1).min(MAX_DEPTH - 1)].distinct_on,
            What::Word => {
                let mut folded = [0_u8; 64];
                let word = fold(self.lexer.bytes(previous), &mut folded).unwrap_or("");
                !matches!(word, "tablesample" | "escape") && !is_no_function(word)
            }
            _ => false,
        }
    }

    fn call(&mut self, schema: Option<Token>, token: Token) {
        let name = self.lexer.folded(token);
        let schema = schema.map(|s| self.lexer.folded(s));
        let built_in = schema.as_deref().is_none_or(|s| s == "pg_catalog");
        if built_in && is_advisory_lock(&name) && !name.contains("_xact_") && !name.contains("unlock")
        {
            self.current.pin = Some(PinReason::AdvisoryLock);
        }
        if built_in && &*name == "set_config" && !self.is_local_set_config(token) {
            self.current.pin = Some(PinReason::Settings);
        }
        let volatile = (built_in && is_always_volatile(&name))
            || matches!(
                self.catalog.function(schema.as_deref(), &name),
                Volatility::Volatile | Volatility::Unknown
            );
        if volatile {
            self.facts = self.facts.with(Facts::VOLATILE);
        }
    }

    /// Whether the third argument of `set_config` is the literal true.
    fn is_local_set_config(&self, token: Token) -> bool {
        let mut ahead =
            Lexer::new(self.lexer.text, token.end, self.options.backslash_escapes);
        let mut depth = 0;
        let mut commas = 0;
        let mut last = Vec::new();
        loop {
            let token = ahead.token();
            match token.what {
                What::End | What::Unterminated => return false,
                What::Punct(b'(' | b'[') => depth += 1,
                What::Punct(b')' | b']') if depth == 1 => break,
                What::Punct(b')' | b']') => depth -= 1,
                What::Punct(b',') if depth == 1 => {
                    commas += 1;
                    last.clear();
                }
                _ => last.push(token),
            }
        }
        match (&last[..], commas) {
            ([only], 2) => {
                ahead.is(*only, "true")
                    || ["'t'", "'true'", "'on'"].iter().any(|text| ahead.is(*only, text))
            }
            _ => false,
        }
    }

    fn end_statement(&mut self) {
        let current = std::mem::replace(&mut self.current, Current::new());
        self.levels[0] = Level::default();
        self.depth = 0;
        if current.words == 0 && current.verb.is_none() {
            return;
        }
        let kind = match current.verb {
            // Begins with something that is no word, like `(SELECT …)`: what was found inside counts.
            None => Kind::Unknown,
            // Everything but COPY … TO STDOUT writes, on the server's disk if nowhere else.
            Some(Verb::Copy) if current.copy_out && !current.nested_write => Kind::Read,
            Some(_) => current.kind,
        };
        let effect = self.effect_of(&current);
        if current.pin.is_some() {
            self.facts = self.facts.with(Facts::STICKY);
        }
        if current.verb == Some(Verb::Begin) && current.begin_read_only {
            self.facts = self.facts.with(Facts::READ_ONLY);
        }
        self.kind = self.kind.max(kind);
        self.statements += 1;
        self.effect = if self.statements == 1 { effect } else { self.combined(effect) };
    }

    fn effect_of(&self, current: &Current) -> Effect {
        if let Some(reason) = current.pin {
            return Effect::Pin(reason);
        }
        match current.verb {
            Some(Verb::Session) => {
                of_session_verb(self.lexer.text, current.start, self.options.backslash_escapes)
            }
            Some(Verb::Begin) => Effect::Begin { read_only: current.begin_read_only },
            Some(Verb::Commit | Verb::Rollback) => Effect::End,
            _ => Effect::None,
        }
    }

    /// Of several statements only what must pin counts: settings among others are not tracked.
    fn combined(&self, effect: Effect) -> Effect {
        let pins = |effect: &Effect| match effect {
            Effect::Pin(reason) => Some(*reason),
            Effect::Set { .. } | Effect::Reset { .. } | Effect::ResetAll | Effect::DiscardAll => {
                Some(PinReason::Settings)
            }
            _ => None,
        };
        match pins(&self.effect).or_else(|| pins(&effect)) {
            Some(reason) => Effect::Pin(reason),
            None => Effect::None,
        }
    }
}

/// The word in lower case, when it fits: no keyword or built-in function is longer than 63 bytes.
fn fold<'b>(bytes: &[u8], buffer: &'b mut [u8; 64]) -> Option<&'b str> {
    let buffer = buffer.get_mut(..bytes.len())?;
    buffer.copy_from_slice(bytes);
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}
