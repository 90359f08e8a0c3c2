//! Leases of server connections.
