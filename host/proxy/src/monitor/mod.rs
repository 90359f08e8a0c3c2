//! What the nodes are doing: probes, snapshots, catalogs.
