/// An error for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Five characters of `0-9A-Z`; `Refusal::new` sees to it.
    pub sqlstate: [u8; 5],
    /// One line, at most [`Refusal::MAX_MESSAGE`] bytes.
    pub message: Box<str>,
}

impl Refusal {
    /// Longer messages are cut.
    pub const MAX_MESSAGE: usize = 1024;

    /// Makes a refusal from what a guest or a configuration said: a malformed SQLSTATE becomes 42501
    /// (`insufficient_privilege`), control characters become spaces, and the message is cut.
    pub fn new(sqlstate: &str, message: &str) -> Refusal {
        let sqlstate = match <[u8; 5]>::try_from(sqlstate.as_bytes()) {
            Ok(s) if s.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) => s,
            _ => *b"42501",
        };
        let end = message.floor_char_boundary(Refusal::MAX_MESSAGE);
        let message: String =
            message[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Refusal { sqlstate, message: message.into() }
    }
}

/// How long an answer may be kept without asking again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remember {
    /// Ask every time.
    #[default]
    Never,
    /// For this exact text.
    Text,
    /// For this exact text and session class.
    TextAndClass,
    /// For every text with this digest, kind and facts.
    Digest,
    /// The same, and the same session class.
    DigestAndClass,
}

/// What to do when no replica fulfils the demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// Use the primary.
    #[default]
    Primary,
    /// Wait for one.
    Wait,
    /// Refuse with 57P03.
    Refuse,
}

/// What a replica must fulfil to serve a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// At most this many milliseconds behind.
    pub max_lag_ms: Option<u64>,
    /// At most this many bytes of WAL behind.
    pub max_lag_bytes: Option<u64>,
    /// Only nodes with this label.
    pub label: Option<(Box<str>, Box<str>)>,
    /// What to do when there is none.
    pub otherwise: Otherwise,
}

/// A small result, all columns of type text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows as wide as `columns`; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Where a statement batch goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// No policy had an opinion: the primary.
    #[default]
    NoOpinion,
    /// The primary.
    Primary,
    /// A replica.
    Replica(Demands),
    /// One node by name.
    Node(Box<str>),
    /// The primary of another cluster.
    Cluster(Box<str>),
    /// An error.
    Refuse(Refusal),
    /// A result made by the policy.
    Answer(Table),
    /// The primary, and the session stays there; the reason.
    Pin(Box<str>),
}

impl Decision {
    /// The word that logs and `SHOW` use.
    pub fn name(&self) -> &'static str {
        match self {
            Decision::NoOpinion => "no-opinion",
            Decision::Primary => "primary",
            Decision::Replica(_) => "replica",
            Decision::Node(_) => "node",
            Decision::Cluster(_) => "cluster",
            Decision::Refuse(_) => "refuse",
            Decision::Answer(_) => "answer",
            Decision::Pin(_) => "pin",
        }
    }
}

/// A decision, and how long it may be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Where the batch goes.
    pub decision: Decision,
    /// How long this may be kept.
    pub remember: Remember,
}

/// What becomes of a statement's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// It stays as it is.
    #[default]
    Unchanged,
    /// It is replaced.
    Text(Box<str>),
    /// An error.
    Refuse(Refusal),
}

/// A rewrite, and how long it may be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteVerdict {
    /// What becomes of the text.
    pub rewrite: Rewrite,
    /// How long this may be kept.
    pub remember: Remember,
}
