//! Runs the scripts of `tests/drivers` directly and through the proxy. Arguments: the directory of the installed
//! drivers, the directory of the scripts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::process::{Command, ExitCode};

use howdah_e2e::{Running, cluster};
use howdah_pgcluster::Auth;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (drivers, scripts) = (arguments.next().unwrap(), arguments.next().unwrap());
    let (drivers, scripts) = (Path::new(&drivers), Path::new(&scripts));
    let cluster = cluster(2, Auth::Trust);
    // Fewer servers than the scripts have clients.
    let proxy = Running::start(&cluster.nodes(), "[pool]\nsize = 5\n");
    proxy.wait_up(3);
    let python = drivers.join("python/bin/python");
    let runs = [
        (python.as_path(), "psycopg3.py"),
        (python.as_path(), "asyncpg_default.py"),
        (Path::new("node"), "node-postgres.js"),
    ];
    let (mut passed, mut failed) = (0, 0);
    for (program, script) in runs {
        for (way, port) in [("directly", cluster.primary().port), ("through howdah", proxy.port)] {
            let dsn = format!("postgresql://postgres@127.0.0.1:{port}/postgres");
            let status = Command::new(program)
                .arg(scripts.join(script))
                .arg(dsn)
                .env("NODE_PATH", drivers.join("node_modules"))
                .status();
            let ok = status.is_ok_and(|status| status.success());
            println!("{script} {way}: {}", if ok { "ok" } else { "FAILED" });
            if ok { passed += 1 } else { failed += 1 }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
