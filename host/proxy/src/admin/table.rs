//! What operators are shown: tables whose columns have types, so that drivers and pages can count with them.

use bytes::BytesMut;
use howdah_wire::backend::{DataRow, RowDescription};
use serde::Serialize;

/// What a column holds, as the types of PostgreSQL that drivers get it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `text`
    Text,
    /// `int8`
    Int,
    /// `float8`
    Float,
    /// `bool`
    Bool,
}

impl Kind {
    /// The type's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Int => "int8",
            Kind::Float => "float8",
            Kind::Bool => "bool",
        }
    }

    /// OID and size (pg_type.dat).
    fn of_postgres(self) -> (u32, i16) {
        match self {
            Kind::Text => (25, -1),
            Kind::Int => (20, 8),
            Kind::Float => (701, 8),
            Kind::Bool => (16, 1),
        }
    }
}

/// A column: its name, what it holds, and what that means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) about: &'static str,
}

/// A column of texts.
pub(crate) const fn text(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Text, about }
}

/// A column of whole numbers.
pub(crate) const fn int(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Int, about }
}

/// A column of numbers.
pub(crate) const fn float(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Float, about }
}

/// A column of what is so or not.
pub(crate) const fn truth(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Bool, about }
}

/// A value of a table. As JSON it is what it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// A value for each column.
pub(crate) type Row = Vec<Value>;

/// Rows under the columns that they have.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) columns: &'static [Column],
    pub(crate) rows: Vec<Row>,
}

/// A row of anything that is a value.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::admin::table::Value::from($value)),*] };
}
pub(crate) use row;

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Bool(is)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Int(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::from(number as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl<T> From<Option<T>> for Value
where
    Value: From<T>,
{
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Value::from)
    }
}

impl Value {
    /// As PostgreSQL writes it; none for NULL.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Text(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(is) => Some(if *is { "t" } else { "f" }.to_owned()),
        }
    }

    /// In PostgreSQL's binary format; none for NULL.
    fn binary(&self) -> Option<Vec<u8>> {
        match self {
            Value::Null => None,
            Value::Text(text) => Some(text.clone().into_bytes()),
            Value::Int(number) => Some(number.to_be_bytes().to_vec()),
            Value::Float(number) => Some(number.to_be_bytes().to_vec()),
            Value::Bool(is) => Some(vec![u8::from(*is)]),
        }
    }
}

/// Appends RowDescription; `binary` says it of each column.
pub(crate) fn describe(columns: &[Column], binary: impl Fn(usize) -> bool, out: &mut BytesMut) {
    let fields = columns.iter().enumerate().map(|(at, column)| {
        let (oid, len) = column.kind.of_postgres();
        (column.name, oid, len, i16::from(binary(at)))
    });
    RowDescription::write(&fields.collect::<Vec<_>>(), out);
}

/// Appends a DataRow.
pub(crate) fn write(row: &[Value], binary: impl Fn(usize) -> bool, out: &mut BytesMut) {
    let value = |(at, value): (usize, &Value)| match binary(at) {
        true => value.binary(),
        false => value.text().map(String::into_bytes),
    };
    let values: Vec<Option<Vec<u8>>> = row.iter().enumerate().map(value).collect();
    DataRow::write(values.iter().map(Option::as_deref), out);
}
