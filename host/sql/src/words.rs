//! Words of the grammar that a scan has to know (kwlist.h, gram.y).

use howdah_decision::Kind;

/// The kind of a statement that begins with this word. The word is in lower case.
pub(crate) fn kind_of_verb(verb: &str) -> Kind {
    match verb {
        "select" | "values" | "table" | "show" | "explain" | "with" => Kind::Read,
        "insert" | "update" | "delete" | "merge" | "call" | "do" | "lock" | "notify" => Kind::Write,
        "copy" => Kind::Write,
        "begin" | "start" => Kind::Begin,
        "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => Kind::End,
        "set" | "reset" | "discard" | "listen" | "unlisten" | "prepare" | "deallocate"
        | "declare" | "load" | "fetch" | "move" | "close" => Kind::Session,
        "vacuum" | "analyze" | "analyse" | "checkpoint" | "reindex" | "cluster" | "refresh" => {
            Kind::Utility
        }
        "create" | "alter" | "drop" | "truncate" | "grant" | "revoke" | "comment" | "security"
        | "import" | "reassign" => Kind::Ddl,
        _ => Kind::Unknown,
    }
}

/// Words that may stand before `(` without being a function's name: reserved words, names of types with
/// modifiers, and constructs that the grammar treats itself and that call nothing volatile.
pub(crate) fn is_no_function(word: &str) -> bool {
    matches!(
        word,
        "all" | "analyse" | "analyze" | "and" | "any" | "array" | "as" | "asc" | "between" | "bigint"
            | "bit" | "boolean" | "both" | "case" | "cast" | "char" | "character" | "check"
            | "coalesce" | "collate" | "constraint" | "cross"
            | "current_catalog" | "current_date" | "current_role" | "current_schema"
            | "current_time" | "current_timestamp" | "current_user" | "dec" | "decimal" | "default"
            | "desc" | "distinct" | "do" | "else" | "end" | "except" | "exists"
            | "explain" | "extract" | "fetch" | "float" | "for" | "foreign" | "from"
            | "full" | "greatest" | "group" | "grouping" | "having" | "ilike" | "in"
            | "inner" | "int" | "integer" | "intersect" | "interval" | "into" | "is"
            | "isnull" | "join" | "lateral" | "leading" | "least" | "like" | "limit"
            | "localtime" | "localtimestamp" | "merge_action" | "national"
            | "natural" | "nchar" | "none" | "normalize" | "not" | "notnull" | "nullif" | "null"
            | "numeric" | "offset" | "on" | "only" | "or" | "order"
            | "outer" | "overlay" | "placing" | "position"
            | "primary" | "real" | "references" | "returning" | "row"
            | "select" | "session_user" | "set" | "setof" | "similar" | "smallint"
            | "some" | "substring" | "symmetric" | "then" | "time" | "timestamp" | "to"
            | "trailing" | "treat" | "trim" | "union" | "unique" | "user" | "using" | "values"
            | "varchar" | "variadic" | "when" | "where" | "window" | "with"
            | "xmlattributes" | "xmlconcat" | "xmlelement" | "xmlexists" | "xmlforest"
            | "xmlnamespaces" | "xmlparse" | "xmlpi" | "xmlroot" | "xmlserialize" | "xmltable"
           
    )
}

/// Words that end the list of a FROM clause.
pub(crate) fn ends_from(word: &str) -> bool {
    matches!(
        word,
        "where" | "group" | "order" | "having" | "limit" | "offset" | "fetch" | "for" | "union"
            | "intersect" | "except" | "window" | "select" | "returning" | "set" | "on" | "when"
    )
}

/// Functions that write or lock whatever the catalog says or does not say yet.
pub(crate) fn is_always_volatile(function: &str) -> bool {
    matches!(
        function,
        "nextval" | "setval" | "set_config" | "pg_notify" | "pg_export_snapshot"
            | "pg_logical_emit_message" | "txid_current" | "pg_current_xact_id"
    ) || function.starts_with("lo_")
        || function.starts_with("dblink")
        || is_advisory_lock(function)
}

/// Session-level advisory locks, and those that end with the transaction.
pub(crate) fn is_advisory_lock(function: &str) -> bool {
    function.starts_with("pg_advisory_") || function.starts_with("pg_try_advisory_")
}
