//! Starts a throw-away cluster for scripts, prints the addresses of its nodes, the primary's first, and the directory
//! of PostgreSQL's programs, and ends with its input. Argument: how many replicas.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Read;

use howdah_e2e::cluster;
use howdah_pgcluster::{Auth, Installation};

fn main() {
    let replicas = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let cluster = cluster(replicas, Auth::Trust);
    println!("{}", cluster.nodes().join(" "));
    println!("{}", Installation::find().unwrap().bin.display());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
