#![allow(clippy::unwrap_used)]

use crate::{Cluster, Options};

#[test]
fn a_replica_follows_its_primary_and_everything_goes_away() {
    let mut cluster = Cluster::start(&Options { replicas: 1, ..Options::default() }).unwrap();
    cluster.primary().query("postgres", "CREATE TABLE t AS SELECT 7 AS a").unwrap();
    cluster.wait_replayed().unwrap();
    assert_eq!(cluster.replicas()[0].value("postgres", "SELECT a FROM t").unwrap(), "7");
    assert!(cluster.replicas()[0].query("postgres", "INSERT INTO t VALUES (1)").is_err());
    let primary = cluster.primary_mut();
    primary.kill();
    assert!(primary.query("postgres", "SELECT 1").is_err());
    primary.start().unwrap();
    assert_eq!(primary.value("postgres", "SELECT a FROM t").unwrap(), "7");
    let directory = primary.data().parent().unwrap().to_path_buf();
    drop(cluster);
    assert!(!directory.exists());
}
