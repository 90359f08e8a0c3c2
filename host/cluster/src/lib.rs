//! Nodes, roles, lag and catalog: an immutable snapshot made from probe results. No IO.
