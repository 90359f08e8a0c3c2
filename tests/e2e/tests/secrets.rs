//! That a secret which a proxy prints fails the test that the proxy runs for.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use howdah_e2e::secrets::MARK;
use howdah_e2e::{Running, shared};

#[test]
fn a_secret_that_is_printed_is_found() {
    let node = format!("{{ address = {:?}, name = \"{MARK}\" }}", shared().nodes()[0]);
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[cluster.main]\nnodes = [{node}]\n\
         [[policy]]\nname = \"a {MARK}\"\npath = \"built-in\"\n"
    );
    let proxy = Running::with_file(tempfile::tempdir().unwrap(), &text);
    proxy.wait_up(1);
    let ended = catch_unwind(AssertUnwindSafe(|| drop(proxy)));
    let said = ended.unwrap_err().downcast::<String>().unwrap();
    for place in ["log: ", "/metrics: ", "NODES: ", "status: ", "nodes: "] {
        assert!(said.contains(place), "nothing in {place}{said}");
    }
    let clean = Running::start(&shared().nodes(), "");
    clean.wait_up(3);
    drop(clean);
}
