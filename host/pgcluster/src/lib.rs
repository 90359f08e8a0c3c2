//! Throw-away PostgreSQL clusters: a primary and its streaming replicas in a temporary directory.
