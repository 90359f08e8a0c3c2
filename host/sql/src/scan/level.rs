use crate::lex::{Token, What};
use crate::words::Word;

/// A level of parentheses in a statement; level 0 stands outside of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Level {
    pub(crate) region: Region,
    /// No token has been seen in it.
    pub(crate) fresh: bool,
    /// In the list of WITH, before the main verb.
    pub(crate) with: bool,
    /// It holds a query: FROM begins a clause. In `extract(year FROM x)` it does not.
    pub(crate) query: bool,
    /// An UPDATE or DELETE has begun in it, and no WHERE has followed.
    pub(crate) unbounded: bool,
    /// It holds the arguments of `set_config`, and these have been seen.
    pub(crate) configures: bool,
    pub(crate) arguments: Arguments,
}

/// The clause of a query, as far as it changes what a name is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Region {
    /// Names are columns and functions.
    #[default]
    Other,
    /// Names are relations, functions and aliases.
    From,
    /// The condition of a join: after a comma the list of FROM goes on.
    On,
    /// GROUP BY, where CUBE and ROLLUP are no functions.
    Group,
}

/// What has been seen of the arguments of `set_config(name, value, is_local)`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Arguments {
    commas: u8,
    /// Tokens of the present argument.
    tokens: u8,
    /// The last token was the constant true.
    truth: bool,
}

impl Arguments {
    pub(crate) fn add(&mut self, token: Token, bytes: &[u8]) {
        if token.is(b',') {
            *self = Arguments { commas: self.commas.saturating_add(1), ..Arguments::default() };
            return;
        }
        self.tokens = self.tokens.saturating_add(1);
        self.truth = token.word == Word::True || matches!(bytes, b"'t'" | b"'true'" | b"'on'");
    }

    /// Parentheses or brackets make it more than a constant.
    pub(crate) fn nest(&mut self) {
        self.tokens = self.tokens.saturating_add(1);
        self.truth = false;
    }

    /// Whether the third and last argument was the constant true.
    pub(crate) fn is_local(self) -> bool {
        self.commas == 2 && self.tokens == 1 && self.truth
    }
}

impl Level {
    /// The outermost level of a statement.
    pub(crate) fn outermost() -> Level {
        Level { query: true, fresh: true, ..Level::default() }
    }

    /// The level that `(` opens inside this one, after `previous`.
    pub(crate) fn inner(&self, previous: Token) -> Level {
        let joined = previous.is(b',')
            || previous.is(b'(')
            || matches!(previous.word, Word::From | Word::Join | Word::Lateral | Word::Only);
        let region = match self.region {
            Region::From if joined => Region::From,
            Region::Group => Region::Group,
            _ => Region::Other,
        };
        Level { region, fresh: true, ..Level::default() }
    }

    /// A keyword or a comma at this level may begin another clause.
    pub(crate) fn advance(&mut self, token: Token, previous: Token) {
        if token.is(b',') && self.region == Region::On {
            self.region = Region::From;
        }
        if token.what != What::Word {
            return;
        }
        match token.word {
            Word::Select | Word::Values => {
                self.query = true;
                self.region = Region::Other;
            }
            Word::With if self.fresh => {
                self.query = true;
                self.with = true;
            }
            Word::Table => self.region = Region::From,
            // IS DISTINCT FROM compares.
            Word::From if previous.word == Word::Distinct => {}
            Word::From if self.query => self.region = Region::From,
            Word::Join => self.region = Region::From,
            Word::On if self.region == Region::From => self.region = Region::On,
            Word::Group => self.region = Region::Group,
            Word::Where => {
                self.unbounded = false;
                self.region = Region::Other;
            }
            Word::Order
            | Word::Having
            | Word::Limit
            | Word::Offset
            | Word::Fetch
            | Word::For
            | Word::Union
            | Word::Intersect
            | Word::Except
            | Word::Window
            | Word::Returning => self.region = Region::Other,
            _ => {}
        }
    }
}
