use howdah_decision::Kind;

use super::Scan;
use super::builtin;
use super::level::Region;
use crate::Volatility;
use crate::effect::PinReason;
use crate::lex::{Token, What};
use crate::words::Word;

/// What names mean: functions, relations, aliases.
impl Scan<'_> {
    /// A name, quoted or not.
    pub(super) fn name(&mut self, token: Token, next: Token) {
        if self.current.kind == Kind::Ddl {
            self.mention(token);
        }
        if next.is(b'(') {
            if !self.is_construct(token) && !self.is_declared(token) {
                self.call(token);
            }
        } else if next.is(b'.') {
            self.current.schema(&self.lexer, token);
        } else if self.level().region == Region::From && !token.word.is_reserved() {
            self.relation(token);
        } else if self.previous.is(b'.') {
            // In `x.name` the name may be that of a function (parse_func.c, `ParseFuncOrColumn`).
            self.uses(token);
        }
    }

    /// A name in DDL. What is made with, or of, something that leaves something behind does so too.
    fn mention(&mut self, token: Token) {
        let name = self.lexer.folded(token);
        let extension = matches!(self.previous.word, Word::Create | Word::Alter)
            && name.eq_ignore_ascii_case("extension");
        let unreadable = token.what == What::UnicodeQuoted;
        if extension || unreadable || builtin::pins(&name) || self.catalog.pins(&name).is_some() {
            self.current.arms = true;
            self.uses(token);
        }
    }

    /// It may use what has this name.
    fn uses(&mut self, token: Token) {
        if let Some(reason) = self.catalog.pins(&self.lexer.folded(token)) {
            self.current.stay(reason);
        }
    }

    /// Whether a word before `(` belongs to the grammar there.
    fn is_construct(&mut self, token: Token) -> bool {
        let previous = self.previous;
        let region = self.level().region;
        match token.word {
            Word::Plain => false,
            Word::Over | Word::Filter => previous.is(b')'),
            Word::Materialized => matches!(previous.word, Word::As | Word::Not),
            Word::Sets => previous.word == Word::Grouping,
            Word::By => {
                matches!(previous.word, Word::Order | Word::Group | Word::Partition)
            }
            Word::Cube | Word::Rollup => region == Region::Group,
            Word::Varying => {
                matches!(previous.word, Word::Character | Word::Char | Word::Bit)
            }
            Word::Join => matches!(region, Region::From | Region::On) && is_operand(previous),
            Word::Like | Word::Ilike => is_operand(previous),
            Word::Conflict => previous.word == Word::On,
            Word::First | Word::Next => previous.word == Word::Fetch,
            Word::Zone => previous.word == Word::Time,
            Word::Operator => true,
            Word::Stdin | Word::Stdout => self.current.copy,
            Word::Insert | Word::Update | Word::Set => self.current.kind == Kind::Write,
            word => word.is_reserved(),
        }
    }

    /// Whether a name before `(` is that of a type, or of something new: a common table expression, an alias with
    /// columns, the target of an INSERT.
    fn is_declared(&mut self, token: Token) -> bool {
        let level = *self.level();
        let head = self.head;
        if head.what == What::Operator && self.lexer.bytes(head) == b"::" {
            return true;
        }
        match head.word {
            Word::As | Word::Into | Word::Copy | Word::Prepare | Word::Execute => return true,
            Word::With | Word::Recursive if level.with => return true,
            Word::Tablesample => return false,
            _ => {}
        }
        // Columns and options of COPY.
        if self.current.copy && self.depth == 1 && !level.query {
            return true;
        }
        if level.with && head.is(b',') {
            return true;
        }
        // In FROM an alias stands behind a relation, or what is like one; it has no schema.
        let behind = head.is(b')')
            || (head.is_name() && !head.word.is_reserved() && head.word != Word::Join);
        level.region == Region::From && behind && self.schema.is_none() && token.is_name()
    }

    fn call(&mut self, token: Token) {
        if !self.current.runs_functions() && self.current.verb != Word::Create {
            return;
        }
        if token.what == What::UnicodeQuoted {
            self.current.volatile = true;
            self.current.stay(PinReason::Unseen);
            return;
        }
        let name = self.lexer.folded(token);
        let schema = self.schema.map(|schema| self.lexer.folded(schema));
        let built_in = schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
        if built_in && builtin::locks_session(&name) && self.current.atomic == 0 {
            self.current.stay(PinReason::AdvisoryLock);
        }
        if built_in && builtin::leaves_behind(&name) {
            self.current.stay(PinReason::Function);
        }
        if built_in && builtin::reads_sequences(&name) && self.current.runs_functions() {
            self.current.stay(PinReason::Sequence);
        }
        self.current.unlocks |= built_in && builtin::unlocks_session(&name);
        if built_in && &*name == "set_config" {
            self.configures = true;
        }
        if !self.current.runs_functions() {
            return;
        }
        self.uses(token);
        let volatility = match self.catalog.function(schema.as_deref(), &name) {
            Volatility::Unknown
                if schema.is_none() && builtin::is_construct_when_unknown(&name) =>
            {
                Volatility::Immutable
            }
            known => known,
        };
        if volatility == Volatility::Unknown
            && let Some(reason) = self.catalog.unknown_pins()
        {
            self.current.stay(reason);
        }
        self.current.volatile |= (built_in && builtin::is_always_volatile(&name))
            || matches!(volatility, Volatility::Volatile | Volatility::Unknown);
    }

    fn relation(&mut self, token: Token) {
        if !self.current.runs_functions() {
            return;
        }
        if token.what == What::UnicodeQuoted {
            self.current.volatile = true;
            self.current.stay(PinReason::Unseen);
            return;
        }
        self.uses(token);
        if self.current.volatile {
            return;
        }
        let name = self.lexer.folded(token);
        let schema = self.schema.map(|schema| self.lexer.folded(schema));
        self.current.volatile = self.catalog.relation_is_volatile(schema.as_deref(), &name);
    }

    pub(super) fn operator(&mut self, token: Token) {
        let symbol = std::str::from_utf8(self.lexer.bytes(token)).unwrap_or_default();
        if let Some(reason) = self.catalog.pins(symbol) {
            self.current.arms |= self.current.kind == Kind::Ddl;
            self.current.stay(reason);
        }
        if !self.current.runs_functions() {
            return;
        }
        self.current.volatile |= self.catalog.operator_is_volatile(symbol);
    }
}

/// Whether an operand may end with this token, so that JOIN or LIKE after it is an operator.
fn is_operand(token: Token) -> bool {
    match token.what {
        What::Word => match token.word {
            Word::Not | Word::Fixed | Word::End | Word::True => true,
            Word::Join | Word::Like | Word::Ilike => false,
            word => !word.is_reserved(),
        },
        What::Operator => false,
        What::Punct(b) => matches!(b, b')' | b']'),
        _ => true,
    }
}
