//! What a call of `kv` costs the host: `cargo run --release -p howdah-policy --example kv_cost`.
//!
//! First in memory alone, then with what other proxies have to be told noted beside, and fetched as often as an exchange
//! would.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use howdah_policy::{Limits, Options, Registry, Room, Sharing, Values};

/// Keys, and calls of each kind.
const KEYS: usize = 1_000;
const CALLS: usize = 2_000_000;
/// Calls between two exchanges.
const ROUND: usize = 100_000;

fn main() {
    let registry = Registry::new(Options { workers: 1 }).unwrap();
    let values = registry.values("s", &Limits::default());
    measure("in memory", &values, None);
    let sharing = registry.share_values();
    measure("shared", &values, Some(&sharing));
}

fn measure(what: &str, values: &Values, sharing: Option<&Sharing>) {
    let keys: Vec<String> = (0..KEYS).map(|i| format!("user:{i}")).collect();
    let each = |name: &str, call: &dyn Fn(&str)| {
        let start = Instant::now();
        for i in 0..CALLS {
            call(&keys[i % KEYS]);
            if let Some(sharing) = sharing.filter(|_| i % ROUND == 0) {
                black_box(sharing.due(Room { keys: KEYS, bytes: 1 << 20 }));
            }
        }
        let ns = start.elapsed().as_nanos() as f64 / CALLS as f64;
        println!("{what}: {name} {ns:.0} ns");
    };
    each("increment", &|key| {
        black_box(values.increment(key, 1, None));
    });
    each("get", &|key| {
        black_box(values.get(key));
    });
    each("set", &|key| {
        black_box(values.set(key, b"value", None));
    });
}
