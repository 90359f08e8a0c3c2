//! Functions of PostgreSQL that a scan knows without a catalog.

/// Functions that write or lock, whatever the catalog says or does not say yet (func.sgml).
pub(super) fn is_always_volatile(function: &str) -> bool {
    matches!(
        function,
        "nextval"
            | "setval"
            | "set_config"
            | "pg_notify"
            | "pg_export_snapshot"
            | "pg_logical_emit_message"
            | "txid_current"
            | "pg_current_xact_id"
            | "loread"
            | "lowrite"
    ) || function.starts_with("lo_")
        || function.starts_with("dblink")
        || is_advisory(function)
}

/// Constructs of newer grammars that are ordinary names in older ones: harmless when the catalog does not know
/// them.
pub(super) fn is_construct_when_unknown(function: &str) -> bool {
    function == "json" || function.starts_with("json_")
}

/// Takes an advisory lock that outlives its transaction.
pub(crate) fn locks_session(function: &str) -> bool {
    is_advisory(function) && !function.contains("_xact_") && !function.contains("unlock")
}

/// Gives such a lock back.
pub(super) fn unlocks_session(function: &str) -> bool {
    function.starts_with("pg_advisory_unlock")
}

/// Keeps something for later calls of the same session, in a way that nothing but the end of the session clears for
/// certain (func.sgml, dblink.sgml, pgtrgm.sgml).
pub(crate) fn leaves_behind(function: &str) -> bool {
    matches!(
        function,
        "setseed"
            | "set_limit"
            | "pg_backup_start"
            | "pg_start_backup"
            | "pg_replication_origin_session_setup"
            | "pg_create_logical_replication_slot"
            | "pg_create_physical_replication_slot"
            | "pg_copy_logical_replication_slot"
            | "pg_copy_physical_replication_slot"
    ) || function.starts_with("dblink_connect")
}

/// Whether a call may have to keep a session on its server.
pub(super) fn pins(function: &str) -> bool {
    function == "set_config"
        || locks_session(function)
        || leaves_behind(function)
        || reads_sequences(function)
}

/// Reads what sequences have given to the session.
pub(super) fn reads_sequences(function: &str) -> bool {
    matches!(function, "currval" | "lastval")
}

fn is_advisory(function: &str) -> bool {
    function.starts_with("pg_advisory_") || function.starts_with("pg_try_advisory_")
}
