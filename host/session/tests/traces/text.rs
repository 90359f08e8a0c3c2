//! Messages as text, in the manner of libpq's traces (src/interfaces/libpq/fe-trace.c): the name, then the
//! fields; texts in double quotes, values in single ones.

use bytes::{BufMut, BytesMut};

/// Fields of a message: `s` text, `b` character, `h` and `i` numbers of two and four bytes, `c` a number of one
/// byte; `H` and `I` counted lists of them, `v` a value, `V` counted ones, `R` columns, `E` the fields of an error,
/// `d` all the rest.
type Grammar = (u8, &'static str, &'static str);

const FRONTEND: [Grammar; 13] = [
    (b'Q', "Query", "s"),
    (b'P', "Parse", "ssI"),
    (b'B', "Bind", "ssHVH"),
    (b'E', "Execute", "si"),
    (b'D', "Describe", "bs"),
    (b'C', "Close", "bs"),
    (b'S', "Sync", ""),
    (b'H', "Flush", ""),
    (b'd', "CopyData", "d"),
    (b'c', "CopyDone", ""),
    (b'f', "CopyFail", "s"),
    (b'F', "FunctionCall", "iHVh"),
    (b'X', "Terminate", ""),
];

const BACKEND: [Grammar; 20] = [
    (b'1', "ParseComplete", ""),
    (b'2', "BindComplete", ""),
    (b'3', "CloseComplete", ""),
    (b'n', "NoData", ""),
    (b's', "PortalSuspended", ""),
    (b'I', "EmptyQueryResponse", ""),
    (b'T', "RowDescription", "R"),
    (b't', "ParameterDescription", "I"),
    (b'D', "DataRow", "V"),
    (b'C', "CommandComplete", "s"),
    (b'Z', "ReadyForQuery", "b"),
    (b'E', "ErrorResponse", "E"),
    (b'N', "NoticeResponse", "E"),
    (b'A', "NotificationResponse", "iss"),
    (b'S', "ParameterStatus", "ss"),
    (b'G', "CopyInResponse", "cH"),
    (b'H', "CopyOutResponse", "cH"),
    (b'd', "CopyData", "d"),
    (b'c', "CopyDone", ""),
    (b'V', "FunctionCallResponse", "v"),
];

fn grammar(frontend: bool) -> &'static [Grammar] {
    if frontend { &FRONTEND } else { &BACKEND }
}

/// The bytes of a message from its text.
pub(crate) fn encode(frontend: bool, text: &str) -> BytesMut {
    let (name, fields) = text.split_once(' ').unwrap_or((text, ""));
    let found = grammar(frontend).iter().find(|(_, n, _)| *n == name);
    let (tag, _, grammar) = found.unwrap_or_else(|| panic!("there is no message {name}"));
    let mut tokens = Tokens(fields);
    let mut out = BytesMut::new();
    out.put_u8(*tag);
    out.put_u32(0);
    for field in grammar.chars() {
        put(&mut out, field, &mut tokens);
    }
    assert_eq!(tokens.0.trim(), "", "{text}: too many fields");
    let len = (out.len() - 1) as u32;
    out[1..5].copy_from_slice(&len.to_be_bytes());
    out
}

fn put(out: &mut BytesMut, field: char, tokens: &mut Tokens<'_>) {
    match field {
        's' => {
            out.put_slice(&tokens.quoted());
            out.put_u8(0);
        }
        'd' => out.put_slice(&tokens.quoted()),
        'b' => out.put_u8(tokens.next().as_bytes()[0]),
        'c' => out.put_u8(tokens.number() as u8),
        'h' => out.put_i16(tokens.number() as i16),
        'i' => out.put_i32(tokens.number()),
        'H' | 'I' | 'R' | 'V' => {
            let count = tokens.number() as i16;
            out.put_i16(count);
            let each = each_of(field);
            for field in each.repeat(count as usize).chars() {
                put(out, field, tokens);
            }
        }
        'v' if tokens.peek() == Some('-') => out.put_i32(tokens.number()),
        'v' => {
            let value = tokens.quoted();
            out.put_i32(value.len() as i32);
            out.put_slice(&value);
        }
        'E' => {
            while let Some(letter) = tokens.peek() {
                out.put_u8(letter as u8);
                tokens.0 = &tokens.0.trim_start()[1..];
                put(out, 's', tokens);
            }
            out.put_u8(0);
        }
        other => panic!("no field {other}"),
    }
}

struct Tokens<'a>(&'a str);

impl Tokens<'_> {
    fn peek(&self) -> Option<char> {
        self.0.trim_start().chars().next()
    }

    fn next(&mut self) -> &str {
        let text = self.0.trim_start();
        let end = text.find(' ').unwrap_or(text.len());
        self.0 = &text[end..];
        &text[..end]
    }

    fn number(&mut self) -> i32 {
        let word = self.next();
        word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
    }

    /// `"…"`, `'…'`, or `"x"*1000` for something long.
    fn quoted(&mut self) -> Vec<u8> {
        let text = self.0.trim_start();
        let mark = text.chars().next().filter(|c| matches!(c, '"' | '\''));
        let mark = mark.unwrap_or_else(|| panic!("{text:?} is not in quotes"));
        let end = text[1..].find(mark).unwrap_or_else(|| panic!("{text:?} has no end")) + 1;
        let mut value = text[1..end].replace("\\n", "\n").into_bytes();
        self.0 = &text[end + 1..];
        if self.0.starts_with('*') {
            self.0 = &self.0[1..];
            value = value.repeat(self.number() as usize);
        }
        value
    }
}

/// The text of a message.
pub(crate) fn decode(frontend: bool, tag: u8, body: &[u8]) -> String {
    let found = grammar(frontend).iter().find(|(t, _, _)| *t == tag);
    let (_, name, grammar) = found.unwrap_or_else(|| panic!("no message {}", tag as char));
    let mut text = (*name).to_owned();
    let mut rest = body;
    for field in grammar.chars() {
        take(&mut text, field, &mut rest);
    }
    assert!(rest.is_empty(), "{name} has a tail: {rest:?}");
    text
}

fn take(text: &mut String, field: char, rest: &mut &[u8]) {
    match field {
        's' => {
            let end = rest.iter().position(|b| *b == 0).unwrap();
            text.push_str(&format!(" {}", quote('"', &rest[..end])));
            *rest = &rest[end + 1..];
        }
        'd' => text.push_str(&format!(" {}", quote('\'', std::mem::take(rest)))),
        'b' => text.push_str(&format!(" {}", number(rest, 1) as u8 as char)),
        'c' => text.push_str(&format!(" {}", number(rest, 1))),
        'h' => text.push_str(&format!(" {}", number(rest, 2))),
        'i' => text.push_str(&format!(" {}", number(rest, 4))),
        'H' | 'I' | 'R' | 'V' => {
            let count = number(rest, 2);
            text.push_str(&format!(" {count}"));
            let each = each_of(field);
            for field in each.repeat(count as usize).chars() {
                take(text, field, rest);
            }
        }
        'v' => match number(rest, 4) {
            -1 => text.push_str(" -1"),
            len => {
                let (value, after) = rest.split_at(len as usize);
                text.push_str(&format!(" {}", quote('\'', value)));
                *rest = after;
            }
        },
        'E' => {
            while number(&mut &rest[..1], 1) != 0 {
                text.push_str(&format!(" {}", number(rest, 1) as u8 as char));
                take(text, 's', rest);
            }
            *rest = &rest[1..];
        }
        other => panic!("no field {other}"),
    }
}

fn number(rest: &mut &[u8], bytes: usize) -> i32 {
    let (head, tail) = rest.split_at(bytes);
    *rest = tail;
    match bytes {
        1 => i32::from(head[0]),
        2 => i32::from(i16::from_be_bytes(head.try_into().unwrap())),
        _ => i32::from_be_bytes(head.try_into().unwrap()),
    }
}

fn quote(mark: char, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\n', "\\n");
    match text.chars().next() {
        Some(first) if text.len() > 200 && text.chars().all(|c| c == first) => {
            format!("{mark}{first}{mark}*{}", text.len())
        }
        _ if text.len() > 200 => format!("{mark}{}…{mark}", &text[..30]),
        _ => format!("{mark}{text}{mark}"),
    }
}

/// What a list is a list of.
fn each_of(field: char) -> String {
    match field {
        'R' => "sihihih".into(),
        other => other.to_lowercase().to_string(),
    }
}
