//! Starts a throw-away cluster for scripts, prints the addresses of its nodes, the primary's first, and the directory
//! of PostgreSQL's programs, and ends with its input. Arguments: how many replicas, further lines of `postgresql.conf`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Read;

use howdah_pgcluster::{Cluster, Installation, Options};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let replicas = arguments.next().map_or(0, |text| text.parse().unwrap());
    let options = Options { replicas, settings: arguments.collect(), ..Options::default() };
    let cluster = Cluster::start(&options).unwrap();
    println!("{}", cluster.nodes().join(" "));
    println!("{}", Installation::find().unwrap().bin.display());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
