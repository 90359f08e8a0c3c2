/// A value that is bound to a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// NULL.
    Null,
    /// In text format. What is no UTF-8 in it is replaced.
    Text(String),
    /// In the binary format of its type.
    Binary(Vec<u8>),
}
