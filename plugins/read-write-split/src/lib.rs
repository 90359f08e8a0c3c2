//! The default policy: writes to the primary, reads to replicas.
