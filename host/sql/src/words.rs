//! Words of the grammar that a scan has to know (kwlist.h, gram.y).

use howdah_decision::Kind;

/// The longest word of the table.
const MAX_LEN: usize = 17;

/// Writes the enumeration and its search, from a table of words.
macro_rules! words {
    ([$($name:ident $text:literal)*] $($fixed:literal)*) => {
        /// A word that is not quoted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) enum Word {
            /// A name, or a keyword that makes no difference.
            #[default]
            Plain,
            /// A keyword that is no name, and of no interest otherwise.
            Fixed,
            $($name,)*
        }

        /// Every word with its text, in lower case.
        const WORDS: &[(&[u8], Word)] =
            &[$(($text, Word::$name),)* $(($fixed, Word::Fixed),)*];
    };
}

words! {
    [Abort b"abort" Alter b"alter" Analyse b"analyse" Analyze b"analyze" And b"and" As b"as"
    Atomic b"atomic" Begin b"begin" Bit b"bit" By b"by" Call b"call" Case b"case" Char b"char"
    Character b"character" Checkpoint b"checkpoint" Close b"close" Cluster b"cluster"
    Comment b"comment" Commit b"commit" Conflict b"conflict" Copy b"copy" Create b"create"
    Cube b"cube" Deallocate b"deallocate" Declare b"declare" Delete b"delete" Discard b"discard"
    Distinct b"distinct" Do b"do" Drop b"drop" Else b"else" End b"end" Except b"except"
    Execute b"execute" Explain b"explain" Fetch b"fetch" Filter b"filter" First b"first" For b"for"
    From b"from" Global b"global" Grant b"grant" Group b"group" Grouping b"grouping"
    Having b"having" Hold b"hold" Ilike b"ilike" Import b"import" Insert b"insert"
    Intersect b"intersect" Into b"into" Join b"join" Key b"key" Lateral b"lateral" Like b"like"
    Limit b"limit" Listen b"listen" Load b"load" Local b"local" Lock b"lock"
    Materialized b"materialized" Merge b"merge" Move b"move" Next b"next" Not b"not"
    Notify b"notify" Offset b"offset" On b"on" Only b"only" Operator b"operator" Or b"or"
    Order b"order" Over b"over" Partition b"partition" PgTemp b"pg_temp" Prepare b"prepare"
    Prepared b"prepared" Read b"read" Reassign b"reassign" Recursive b"recursive"
    Refresh b"refresh" Reindex b"reindex" Release b"release" Replace b"replace" Reset b"reset"
    Returning b"returning" Revoke b"revoke" Rollback b"rollback" Rollup b"rollup"
    Savepoint b"savepoint" Schema b"schema" Security b"security" Select b"select" Set b"set"
    Sets b"sets" Share b"share" Show b"show" Start b"start" Stdin b"stdin" Stdout b"stdout"
    Table b"table" Tablesample b"tablesample" Temp b"temp" Temporary b"temporary" Then b"then"
    Time b"time" To b"to" Transaction b"transaction" True b"true" Truncate b"truncate"
    Union b"union" Unlisten b"unlisten" Update b"update" Using b"using" Vacuum b"vacuum"
    Values b"values" Varying b"varying" Verbose b"verbose" When b"when" Where b"where"
    Window b"window" With b"with" Within b"within" Write b"write" Zone b"zone" In b"in"]

    // The rest of the reserved keywords, and the keywords that name types and constructs: the grammar takes
    // none of them for a function that someone has defined.
    b"all" b"any" b"array" b"asc" b"asymmetric" b"both" b"cast" b"check" b"collate" b"column"
    b"constraint" b"current_catalog" b"current_date" b"current_role" b"current_time"
    b"current_timestamp" b"current_user" b"default" b"deferrable" b"desc" b"false" b"foreign"
    b"initially" b"leading" b"localtime" b"localtimestamp" b"null" b"placing" b"primary"
    b"references" b"session_user" b"some" b"symmetric" b"trailing" b"unique" b"user" b"variadic"
    b"between" b"bigint" b"boolean" b"coalesce" b"dec" b"decimal" b"exists" b"extract" b"float"
    b"greatest" b"inout" b"int" b"integer" b"interval" b"least" b"national" b"nchar" b"none"
    b"normalize" b"nullif" b"numeric" b"out" b"overlay" b"position" b"precision" b"real" b"row"
    b"setof" b"smallint" b"substring" b"timestamp" b"treat" b"trim" b"varchar" b"xmlattributes"
    b"xmlconcat" b"xmlelement" b"xmlexists" b"xmlforest" b"xmlnamespaces" b"xmlparse" b"xmlpi"
    b"xmlroot" b"xmlserialize" b"xmltable"
}

/// Slots of the table that words are searched in: a power of two, and several times as many as there are words, so
/// that most names find an empty slot at once.
const SLOTS: usize = 1024;

/// [`WORDS`] by hash; what collides stands in the next free slot.
static TABLE: [(&[u8], Word); SLOTS] = table();

const fn table() -> [(&'static [u8], Word); SLOTS] {
    let mut table: [(&'static [u8], Word); SLOTS] = [(&[], Word::Plain); SLOTS];
    let mut i = 0;
    while i < WORDS.len() {
        let mut slot = slot_of(WORDS[i].0);
        while !table[slot].0.is_empty() {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = WORDS[i];
        i += 1;
    }
    table
}

/// The slot of a word, whatever its case: the bit that tells one case of a letter from the other is set in all its bytes.
/// The first and the last eight or four bytes count, of a shorter word three.
const fn slot_of(word: &[u8]) -> usize {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let (first, last) = match (word.first_chunk(), word.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (word.first_chunk(), word.last_chunk(), word) {
            (Some(first), Some(last), _) => {
                (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
            }
            (.., [first, .., last]) => (*first as u64, (word[1] as u64) << 8 | *last as u64),
            (.., [only]) => (*only as u64, 0),
            (.., []) => (0, 0),
        },
    };
    let mixed = (first | CASE).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (last | CASE);
    (mixed.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 40) as usize % SLOTS
}

impl Word {
    /// Looks up a word in any case.
    pub(crate) fn find(word: &[u8]) -> Word {
        if word.len() > MAX_LEN {
            return Word::Plain;
        }
        let mut slot = slot_of(word);
        loop {
            match TABLE.get(slot) {
                Some((text, known)) if text.is_empty() || text.eq_ignore_ascii_case(word) => {
                    return *known;
                }
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    /// The kind of a statement that begins with this word.
    pub(crate) fn kind(self) -> Kind {
        use Word::*;
        match self {
            Select | Values | Table | Show | Explain | With => Kind::Read,
            Insert | Update | Delete | Merge | Call | Do | Lock | Notify | Copy => Kind::Write,
            Begin | Start => Kind::Begin,
            Commit | End | Rollback | Abort | Savepoint | Release => Kind::End,
            Set | Reset | Discard | Listen | Unlisten | Prepare | Deallocate | Declare | Load
            | Fetch | Move | Close => Kind::Session,
            Vacuum | Analyze | Analyse | Checkpoint | Reindex | Cluster | Refresh => Kind::Utility,
            Create | Alter | Drop | Truncate | Grant | Revoke | Comment | Security | Import
            | Reassign => Kind::Ddl,
            _ => Kind::Unknown,
        }
    }

    /// Whether it can never be a function's, a relation's or an alias's name without quotes.
    pub(crate) fn is_reserved(self) -> bool {
        use Word::*;
        matches!(
            self,
            Fixed
                | Analyse
                | Analyze
                | And
                | As
                | Bit
                | Case
                | Char
                | Character
                | Create
                | Distinct
                | Do
                | Else
                | End
                | Except
                | Fetch
                | For
                | From
                | Grant
                | Group
                | Grouping
                | Having
                | In
                | Intersect
                | Into
                | Lateral
                | Limit
                | Not
                | Offset
                | On
                | Only
                | Or
                | Order
                | Returning
                | Select
                | Table
                | Then
                | Time
                | To
                | True
                | Union
                | Using
                | Values
                | When
                | Where
                | Window
                | With
        )
    }

    /// Whether it still means something after `AS`; the others are labels there (`SELECT 1 AS update`).
    pub(crate) fn counts_after_as(self) -> bool {
        matches!(
            self,
            Word::Fixed | Word::Bit | Word::Char | Word::Character | Word::Materialized | Word::Not
        ) || self == Word::Time
    }
}
