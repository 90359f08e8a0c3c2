use super::{Lexer, What, is_identifier, is_identifier_start};

/// Constants, quoted identifiers and parameters: what has a beginning and an end of its own.
impl Lexer<'_> {
    /// A string whose quote follows after `prefix` bytes. Strings that a newline continues arrive as several.
    pub(super) fn string(&mut self, prefix: usize, escapes: bool) -> What {
        self.at += prefix + 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let step = match escapes {
                true => memchr::memchr2(b'\'', b'\\', rest),
                false => memchr::memchr(b'\'', rest),
            };
            let Some(step) = step else { return What::Unterminated };
            self.at += step;
            if self.peek(0) == b'\\' || self.peek(1) == b'\'' {
                self.at += 2;
            } else {
                self.at += 1;
                return What::String;
            }
        }
    }

    pub(super) fn quoted(&mut self) -> What {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(step) = memchr::memchr(b'"', rest) else { return What::Unterminated };
            self.at += step;
            if self.peek(1) == b'"' {
                self.at += 2;
            } else {
                self.at += 1;
                return What::Quoted;
            }
        }
    }

    /// A parameter, a dollar-quoted string, or a lone `$`.
    pub(super) fn dollar(&mut self) -> What {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        if rest.first().is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            self.digits();
            return What::Parameter;
        }
        let tag = match rest.first() {
            Some(b) if is_identifier_start(*b) => {
                rest.iter().take_while(|b| is_identifier(**b) && **b != b'$').count()
            }
            _ => 0,
        };
        if rest.get(tag) != Some(&b'$') {
            return self.single(b'$');
        }
        let body = self.at + tag + 2;
        let delimiter = self.text.get(self.at..body).unwrap_or_default();
        let rest = self.text.get(body..).unwrap_or_default();
        match memchr::memmem::find(rest, delimiter) {
            Some(end) => {
                self.at = body + end + delimiter.len();
                What::String
            }
            None => What::Unterminated,
        }
    }

    /// A number ends where its form ends, even before a letter: before PostgreSQL 15 `1FROM t` is `1 FROM t`.
    pub(super) fn number(&mut self) -> What {
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X' | b'o' | b'O' | b'b' | b'B') {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() || self.peek(0) == b'_' {
                self.at += 1;
            }
            return What::Number;
        }
        self.digits();
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
            self.digits();
        }
        let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if matches!(self.peek(0), b'e' | b'E') && self.peek(1 + sign).is_ascii_digit() {
            self.at += 1 + sign;
            self.digits();
        }
        What::Number
    }

    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit()
            || (self.peek(0) == b'_' && self.peek(1).is_ascii_digit())
        {
            self.at += 1;
        }
    }
}
