use bytes::{BufMut, BytesMut};

use super::tag;
use crate::BodyError;
use crate::body::Body;
use crate::frame::{self, put_string};

/// ErrorResponse and NoticeResponse: fields, each with a letter that says what it is
/// (documentation, "Error and Notice Message Fields").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorResponse<'a> {
    fields: &'a [u8],
}

impl<'a> ErrorResponse<'a> {
    /// # Errors
    /// Fields that are not strings, or no terminating zero.
    pub fn read(body: &'a [u8]) -> Result<ErrorResponse<'a>, BodyError> {
        let response = ErrorResponse { fields: body };
        let mut body = Body(body);
        while body.u8()? != 0 {
            body.string()?;
        }
        body.end()?;
        Ok(response)
    }

    /// Letters and values, in the order sent.
    pub fn fields(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut body = Body(self.fields);
        std::iter::from_fn(move || {
            let letter = body.u8().ok().filter(|letter| *letter != 0)?;
            Some((letter, body.string().ok()?))
        })
    }

    /// The value of a field.
    pub fn field(&self, letter: u8) -> Option<&'a [u8]> {
        self.fields().find(|(l, _)| *l == letter).map(|(_, value)| value)
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> Option<[u8; 5]> {
        self.field(b'C')?.try_into().ok()
    }

    /// The primary message.
    pub fn message(&self) -> &'a [u8] {
        self.field(b'M').unwrap_or_default()
    }

    /// Whether the server ends the connection after this: FATAL or PANIC, never localised in field `V`.
    pub fn is_fatal(&self) -> bool {
        matches!(self.field(b'V').or(self.field(b'S')), Some(b"FATAL" | b"PANIC"))
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement fails.
    Error,
    /// The connection ends.
    Fatal,
    /// Nothing fails.
    Notice,
    /// Something may be wrong.
    Warning,
}

/// An error or notice of our own, or taken from a server. It is rare, so it is small where there is room for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReport(Box<Report>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    severity: Severity,
    sqlstate: [u8; 5],
    message: Box<str>,
    detail: Option<Box<str>>,
    hint: Option<Box<str>>,
    routine: Option<&'static str>,
}

impl ErrorReport {
    fn new(severity: Severity, sqlstate: &[u8; 5], message: &str) -> ErrorReport {
        ErrorReport(Box::new(Report {
            severity,
            sqlstate: *sqlstate,
            message: clean(message),
            detail: None,
            hint: None,
            routine: None,
        }))
    }

    /// The statement fails.
    pub fn error(sqlstate: &[u8; 5], message: &str) -> ErrorReport {
        ErrorReport::new(Severity::Error, sqlstate, message)
    }

    /// The connection ends.
    pub fn fatal(sqlstate: &[u8; 5], message: &str) -> ErrorReport {
        ErrorReport::new(Severity::Fatal, sqlstate, message)
    }

    /// Nothing fails.
    pub fn notice(sqlstate: &[u8; 5], message: &str) -> ErrorReport {
        ErrorReport::new(Severity::Notice, sqlstate, message)
    }

    /// A server's error as one of a statement, whatever its severity was.
    pub fn from_response(response: &ErrorResponse<'_>) -> ErrorReport {
        let text =
            |letter| response.field(letter).map(|value| clean(&String::from_utf8_lossy(value)));
        ErrorReport(Box::new(Report {
            severity: Severity::Error,
            sqlstate: response.sqlstate().unwrap_or(*b"XX000"),
            message: text(b'M').unwrap_or_default(),
            detail: text(b'D'),
            hint: text(b'H'),
            routine: None,
        }))
    }

    /// More about it.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> ErrorReport {
        self.0.detail = Some(clean(detail));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> ErrorReport {
        self.0.hint = Some(clean(hint));
        self
    }

    /// The function of PostgreSQL that reports the same: drivers know some errors by it.
    #[must_use]
    pub fn routine(mut self, routine: &'static str) -> ErrorReport {
        self.0.routine = Some(routine);
        self
    }

    /// Adds what the server said last, if it said anything, to the detail.
    #[must_use]
    pub fn caused_by(mut self, cause: Option<ErrorReport>) -> ErrorReport {
        if let Some(cause) = cause {
            let state = String::from_utf8_lossy(&cause.0.sqlstate).into_owned();
            let said = format!("The server said: {} ({state}).", cause.0.message);
            self.0.detail = Some(match self.0.detail.take() {
                Some(detail) => format!("{detail} {said}").into(),
                None => said.into(),
            });
        }
        self
    }

    /// The same, but the connection ends.
    #[must_use]
    pub fn into_fatal(mut self) -> ErrorReport {
        self.0.severity = Severity::Fatal;
        self
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> &[u8; 5] {
        &self.0.sqlstate
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The detail and the hint, if there are any.
    pub fn more(&self) -> impl Iterator<Item = &str> {
        [&self.0.detail, &self.0.hint].into_iter().flatten().map(AsRef::as_ref)
    }

    /// Appends an ErrorResponse, or a NoticeResponse when it is a notice or a warning.
    pub fn write(&self, out: &mut BytesMut) {
        let (tag, severity) = match self.0.severity {
            Severity::Error => (tag::ERROR_RESPONSE, "ERROR"),
            Severity::Fatal => (tag::ERROR_RESPONSE, "FATAL"),
            Severity::Notice => (tag::NOTICE_RESPONSE, "NOTICE"),
            Severity::Warning => (tag::NOTICE_RESPONSE, "WARNING"),
        };
        frame::write(out, tag, |out| {
            let mut field = |letter, value: &[u8]| {
                out.put_u8(letter);
                put_string(out, value);
            };
            field(b'S', severity.as_bytes());
            field(b'V', severity.as_bytes());
            field(b'C', &self.0.sqlstate);
            field(b'M', self.0.message.as_bytes());
            if let Some(detail) = &self.0.detail {
                field(b'D', detail.as_bytes());
            }
            if let Some(hint) = &self.0.hint {
                field(b'H', hint.as_bytes());
            }
            if let Some(routine) = self.0.routine {
                field(b'R', routine.as_bytes());
            }
            out.put_u8(0);
        });
    }
}

impl std::fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message(), String::from_utf8_lossy(self.sqlstate()))
    }
}

/// Strings on the wire cannot hold a zero.
fn clean(text: &str) -> Box<str> {
    if text.contains('\0') { text.replace('\0', " ").into() } else { text.into() }
}
