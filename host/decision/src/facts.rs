/// What a statement is. `wit/types.wit` says what each kind covers.
///
/// Ordered by how demanding a statement is, so that the kind of a batch is the greatest of its statements' kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing but white space and comments.
    #[default]
    Empty,
    /// Reads rows and changes none.
    Read,
    /// Opens a transaction block.
    Begin,
    /// Ends or divides a transaction block.
    End,
    /// Changes the session.
    Session,
    /// Maintenance.
    Utility,
    /// Changes rows, or may.
    Write,
    /// Changes the schema.
    Ddl,
    /// Not understood.
    Unknown,
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<Kind> {
        use Kind::{Begin, Ddl, Empty, End, Read, Session, Unknown, Utility, Write};
        let all = [Empty, Read, Begin, End, Session, Utility, Write, Ddl, Unknown];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// The word that policies, logs and `SHOW` use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Empty => "empty",
            Kind::Read => "read",
            Kind::Begin => "begin",
            Kind::End => "end",
            Kind::Session => "session",
            Kind::Utility => "utility",
            Kind::Write => "write",
            Kind::Ddl => "ddl",
            Kind::Unknown => "unknown",
        }
    }
}

/// What else a scan found: a set of flags, each true when it is true of any statement of the batch.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Facts(u16);

impl Facts {
    /// No flag.
    pub const NONE: Facts = Facts(0);
    /// A transaction block is open.
    pub const IN_TRANSACTION: Facts = Facts(1 << 0);
    /// Everything in the batch promises not to write.
    pub const READ_ONLY: Facts = Facts(1 << 1);
    /// `FOR UPDATE` and its kin.
    pub const LOCKS_ROWS: Facts = Facts(1 << 2);
    /// Calls a volatile or unknown function.
    pub const VOLATILE: Facts = Facts(1 << 3);
    /// More than one statement.
    pub const SEVERAL: Facts = Facts(1 << 4);
    /// Came by the extended protocol.
    pub const EXTENDED: Facts = Facts(1 << 5);
    /// Moves data by `COPY`.
    pub const COPY: Facts = Facts(1 << 6);
    /// Leaves something behind that cannot follow the session to another server.
    pub const STICKY: Facts = Facts(1 << 7);
    /// Carries the hint `/* howdah: primary */`.
    pub const HINT_PRIMARY: Facts = Facts(1 << 8);
    /// Carries the hint `/* howdah: replica */`.
    pub const HINT_REPLICA: Facts = Facts(1 << 9);
    /// An UPDATE or DELETE has no WHERE.
    pub const UNBOUNDED: Facts = Facts(1 << 10);

    const NAMES: [&'static str; 11] = [
        "in-transaction",
        "read-only",
        "locks-rows",
        "volatile",
        "several",
        "extended",
        "copy",
        "sticky",
        "hint-primary",
        "hint-replica",
        "unbounded",
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Facts) -> Facts {
        Facts(self.0 | other.0)
    }

    /// This set without the flags of the other.
    #[must_use]
    pub const fn without(self, other: Facts) -> Facts {
        Facts(self.0 & !other.0)
    }

    /// Whether every flag of `other` is set here.
    pub const fn has(self, other: Facts) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set here.
    pub const fn any(self, other: Facts) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags as a number, bit by bit in the order of `wit/types.wit`.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The flag of this name.
    pub fn named(name: &str) -> Option<Facts> {
        Facts::NAMES.iter().position(|one| *one == name).map(|bit| Facts(1 << bit))
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Facts::NAMES
            .iter()
            .enumerate()
            .filter(move |(i, _)| self.0 & (1 << i) != 0)
            .map(|(_, n)| *n)
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
