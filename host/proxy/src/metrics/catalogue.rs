//! Every metric: its name, what it means, and by what it is counted. `docs/metrics.md` is made of this.

use prometheus_client::metrics::MetricType;

use crate::figures::{ClientEnd, ServerEnd, Sort, Source, Words};
use crate::frontend::{LoginFailure, LoginMethod, TlsSpoken};
use crate::worker::SessionState;

/// A metric.
pub(crate) struct Metric {
    /// Without `_total`.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: MetricType,
    pub(crate) labels: &'static [&'static Label],
}

/// What a metric is counted by.
pub(crate) struct Label {
    pub(crate) name: &'static str,
    /// What its values are.
    pub(crate) about: &'static str,
    /// All of them with their meanings, where they are words of ours.
    pub(crate) words: &'static [(&'static str, &'static str)],
}

impl Label {
    const fn of(name: &'static str, about: &'static str) -> Label {
        Label { name, about, words: &[] }
    }

    const fn words<W: Words>(name: &'static str, about: &'static str) -> Label {
        Label { name, about, words: W::MEANINGS }
    }
}

static CLUSTER: Label = Label::of("cluster", "name of a cluster");
static NODE: Label = Label::of("node", "name of a node");
static NODE_OR_NONE: Label = Label::of("node", "name of a node, empty when there was none");
static POLICY: Label = Label::of("policy", "name of a policy");
static FAULT: Label = Label {
    name: "reason",
    about: "how a call of a policy failed",
    words: &[
        ("trap", "it trapped, or could not be started again"),
        ("time limit", "it took longer than it may"),
        ("answer", "its answer cannot be used"),
    ],
};
static METRIC: Label = Label::of("metric", "as the policy calls it, at most 64 of each");
static CLASS: Label = Label::of("class", "the first two characters of the SQLSTATE");
static VERSION: Label = Label::of("version", "as `howdah version` says");
static LEASED_FOR: Label = Label {
    name: "kind",
    about: "what is leased for",
    words: &[("read", "a batch that only reads"), ("other", "any other, or a transaction")],
};
static CONNECTION: Label = Label {
    name: "state",
    about: "of a connection",
    words: &[("busy", "a session has it, or it is being opened"), ("idle", "nobody has it")],
};
static PROVEN: Label = Label {
    name: "outcome",
    about: "what became of the transaction",
    words: &[
        ("committed", "it has been committed"),
        ("not committed", "it has not"),
        ("unknown", "that could not be found out"),
    ],
};
static REPLAYED: Label = Label {
    name: "outcome",
    about: "what became of the transaction",
    words: &[("went on", "as if nothing had been"), ("lost", "its client was told so")],
};
static COMPARED: Label = Label {
    name: "outcome",
    about: "how the two versions' verdicts compare",
    words: &[
        ("agreed", "they are the same"),
        ("disagreed", "they differ"),
        ("skipped", "there was no time for the second one, or it failed"),
    ],
};
static SORT: Label = Label::words::<Sort>("kind", "what the batch is");
static SOURCE: Label = Label::words::<Source>("source", "whose word the batch followed");
static METHOD: Label = Label::words::<LoginMethod>("method", "how the client has proven who it is");
static FAILURE: Label = Label::words::<LoginFailure>("reason", "why it failed");
static CLIENT_END: Label = Label::words::<ClientEnd>("reason", "why it has ended");
static SERVER_END: Label = Label::words::<ServerEnd>("reason", "why it was closed");
static STATE: Label = Label::words::<SessionState>("state", "what the session does");
static PIN: Label = Label::of("reason", "as in `SHOW PINS`; `policy`, whatever a policy says");
static TLS: Label = Label::words::<TlsSpoken>("version", "of TLS");

macro_rules! metrics {
    ($(
        $(#[doc = $about:literal])+
        $constant:ident: $kind:ident $name:literal [$($label:ident),*];
    )+) => {
        $(
            pub(crate) static $constant: Metric = Metric {
                name: $name,
                about: concat!($($about),+),
                kind: MetricType::$kind,
                labels: &[$(&$label),*],
            };
        )+

        /// All, in the order of the reference.
        pub(crate) static ALL: &[&Metric] = &[$(&$constant),+];
    };
}

metrics! {
    /// Connected clients, those that are still to log in included.
    CLIENTS: Gauge "howdah_clients" [];
    /// Connections of clients that were accepted.
    CONNECTIONS: Counter "howdah_connections" [];
    /// Clients that were let in.
    LOGINS: Counter "howdah_logins" [METHOD];
    /// Connections that did not become clients.
    LOGIN_FAILURES: Counter "howdah_login_failures" [FAILURE];
    /// TLS handshakes with clients that succeeded; those that did not are among the login failures.
    TLS_HANDSHAKES: Counter "howdah_tls_handshakes" [TLS];
    /// Clients that had been let in and are gone.
    CLIENTS_CLOSED: Counter "howdah_clients_closed" [CLIENT_END];
    /// Requests to cancel a statement.
    CANCELS: Counter "howdah_cancel_requests" [];

    /// Sessions by what they do.
    SESSIONS: Gauge "howdah_sessions" [STATE];
    /// Sessions that stay on their servers.
    PINNED: Gauge "howdah_pinned_sessions" [PIN];

    /// How long batches of statements took, from when they had wholly arrived to when their answer was complete. A batch is
    /// a simple query, or messages of the extended protocol up to Sync; in a transaction, each by itself. Messages that are
    /// not looked at (FunctionCall, and what is longer than 1 MiB) are not counted.
    QUERY_DURATION: Histogram "howdah_query_duration_seconds" [CLUSTER, NODE_OR_NONE, SORT, SOURCE];
    /// How long clients waited for a server, when none was free at once: in the queue of a pool, while a connection was
    /// opened, or for a node.
    SERVER_WAIT: Histogram "howdah_server_wait_seconds" [CLUSTER, NODE_OR_NONE];
    /// Rows that clients got.
    ROWS: Counter "howdah_rows" [CLUSTER, NODE_OR_NONE];
    /// Bytes that clients got as answers.
    RESULT_BYTES: Counter "howdah_result_bytes" [CLUSTER, NODE_OR_NONE];
    /// Batches that ended in an error, a server's or the proxy's.
    ERRORS: Counter "howdah_errors" [CLASS];
    /// Statements that are told apart by their digests, of each worker together (`SHOW STATEMENTS`).
    STATEMENTS: Gauge "howdah_statements" [];
    /// Those that had to go because there were more than `statements.keep`.
    STATEMENTS_FORGOTTEN: Counter "howdah_statements_forgotten" [];
    /// Errors of the proxy's own that clients were told because they were not let in, or had no server.
    REFUSED: Counter "howdah_refused" [];
    /// Batches that were sent again after a failure.
    RETRIED: Counter "howdah_retried" [];
    /// Commits whose answer was lost, by what was found out of them.
    COMMITS_IN_DOUBT: Counter "howdah_commits_in_doubt" [PROVEN];
    /// Transactions that were run again on another server.
    RUN_AGAIN: Counter "howdah_transactions_run_again" [REPLAYED];

    /// 1: the cluster has a primary that gets work.
    WRITABLE: Gauge "howdah_writable" [CLUSTER];
    /// Primaries that were followed by another one.
    FAILOVERS: Counter "howdah_failovers" [CLUSTER];
    /// Statements that wait because there is no node for them.
    HELD: Gauge "howdah_held" [CLUSTER];
    /// Statements that had to wait so.
    HOLDS: Counter "howdah_holds" [CLUSTER];

    /// 1: the node answers and may get work.
    NODE_UP: Gauge "howdah_node_up" [CLUSTER, NODE];
    /// 1: the node is the primary.
    NODE_PRIMARY: Gauge "howdah_node_primary" [CLUSTER, NODE];
    /// WAL that a standby has still to replay.
    NODE_LAG_BYTES: Gauge "howdah_node_lag_bytes" [CLUSTER, NODE];
    /// How long ago a standby was where the primary is.
    NODE_LAG: Gauge "howdah_node_lag_seconds" [CLUSTER, NODE];

    /// Questions to a node whether definitions have changed.
    DEFINITIONS_ASKED: Counter "howdah_definitions_asked" [CLUSTER, NODE];
    /// Those by which they have, or that were not answered.
    DEFINITIONS_CHANGED: Counter "howdah_definitions_changed" [CLUSTER, NODE];

    /// Connections to a node.
    SERVER_CONNECTIONS: Gauge "howdah_server_connections" [CLUSTER, NODE, CONNECTION];
    /// Most connections that the pools that there are may have to a node.
    SERVER_CONNECTIONS_LIMIT: Gauge "howdah_server_connections_limit" [CLUSTER, NODE];
    /// Connections to a node that were opened.
    SERVER_CONNECTIONS_OPENED: Counter "howdah_server_connections_opened" [CLUSTER, NODE];
    /// Connections to a node that could not be opened.
    SERVER_CONNECTIONS_FAILED: Counter "howdah_server_connections_failed" [CLUSTER, NODE];
    /// Connections to a node that were closed.
    SERVER_CONNECTIONS_CLOSED: Counter "howdah_server_connections_closed" [CLUSTER, NODE, SERVER_END];
    /// Leases of a node's servers: divided by the connections that were opened, how often each was used.
    BATCHES: Counter "howdah_batches" [CLUSTER, NODE, LEASED_FOR];
    /// Clients that wait for a connection to a node.
    WAITING: Gauge "howdah_waiting" [CLUSTER, NODE];
    /// How long the one of them has waited that waits longest.
    LONGEST_WAIT: Gauge "howdah_waiting_longest_seconds" [CLUSTER, NODE];

    /// Which set of policies is in force: the number grows with each change.
    POLICY_GENERATION: Gauge "howdah_policy_generation" [];
    /// Calls of the version in force. This and the next ones begin anew with each version.
    POLICY_CALLS: Counter "howdah_policy_calls" [POLICY];
    /// Time spent in them.
    POLICY_SECONDS: Counter "howdah_policy_seconds" [POLICY];
    /// Answers that were given from memory instead; counted for the first policy of the chain.
    POLICY_REMEMBERED: Counter "howdah_policy_remembered" [POLICY];
    /// Calls that failed.
    POLICY_FAILURES: Counter "howdah_policy_failures" [POLICY, FAULT];
    /// Observations that were dropped because the policy was too slow for them.
    POLICY_UNOBSERVED: Counter "howdah_policy_unobserved" [POLICY];
    /// 1: it has failed too often and is not asked any more.
    POLICY_QUARANTINED: Gauge "howdah_policy_quarantined" [POLICY];
    /// Calls of a version on trial.
    TRIAL_CALLS: Counter "howdah_policy_trial_calls" [POLICY];
    /// Time spent in them.
    TRIAL_SECONDS: Counter "howdah_policy_trial_seconds" [POLICY];
    /// Calls of it that failed.
    TRIAL_FAILURES: Counter "howdah_policy_trial_failures" [POLICY];
    /// Its verdicts beside those of the version in force.
    TRIAL_VERDICTS: Counter "howdah_policy_trial_verdicts" [POLICY, COMPARED];
    /// A policy's own counters and gauges.
    POLICY_METRIC: Gauge "howdah_policy_metric" [POLICY, METRIC];
    /// A policy's own histograms.
    POLICY_HISTOGRAM: Histogram "howdah_policy_histogram" [POLICY, METRIC];

    /// 1.
    BUILD_INFO: Gauge "howdah_build_info" [VERSION];
    /// Buffers of sessions that nobody uses at the moment, and that are kept.
    SPARE_BUFFERS: Gauge "howdah_spare_buffer_bytes" [];
    /// Memory of the process that is in RAM.
    RESIDENT_MEMORY: Gauge "process_resident_memory_bytes" [];
    /// User and system time of the process.
    CPU: Counter "process_cpu_seconds" [];
    /// File descriptors that are open: one for each connection, and some more.
    OPEN_FDS: Gauge "process_open_fds" [];
    /// Most file descriptors that it may have open.
    MAX_FDS: Gauge "process_max_fds" [];
    /// When the process was started, in seconds since 1970.
    START_TIME: Gauge "process_start_time_seconds" [];
}
