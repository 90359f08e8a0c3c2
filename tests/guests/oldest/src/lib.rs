//! A policy with every hook and everything that the host offers, built against the first released interface and not
//! against that of today. So it does without the SDK.
//!
//! `SELECT 'asked'` is answered with the functions of it that were called, in this instance or the version before it;
//! a statement about a table with what the host says to each of its functions.

use std::cell::RefCell;

use bindings::exports::howdah::policy::{
    configure, observe, retry, rewrite, route, session, state, tick, topology,
};
use bindings::howdah::policy::types::{Facts, Kind, Node, Remember, Value};
use bindings::howdah::policy::{
    catalog, clock, kv, log, metrics, nodes, question, random, settings,
};

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit/released/0.1.0",
        world: "policy",
    });
}

struct Oldest;

thread_local! {
    static CALLED: RefCell<Vec<String>> = RefCell::default();
}

fn called(function: &str) {
    CALLED.with_borrow_mut(|called| {
        if !called.iter().any(|one| one == function) {
            called.push(function.to_owned());
        }
    });
}

impl configure::Guest for Oldest {
    fn configure(_: Vec<(String, Value)>) -> Result<(), String> {
        called("configure");
        Ok(())
    }
}

impl session::Guest for Oldest {
    fn open(_: session::Client) -> session::Decision {
        called("open");
        session::Decision::Accept(session::Admission {
            user: None,
            database: None,
            cluster: None,
            pool_mode: None,
            settings: vec![("search_path".into(), "app".into())],
            priority: -1,
            max_wait_ms: Some(250),
            class: 7,
        })
    }

    fn closed(_: u64) {
        called("closed");
    }
}

impl rewrite::Guest for Oldest {
    fn rewrite(sql: String, _: Kind, _: u64, _: Facts, _: u32) -> rewrite::Verdict {
        called("rewrite");
        let outcome = rewrite::Outcome::Text(format!("{sql} /* seen */"));
        rewrite::Verdict { outcome, remember: Remember::Text }
    }
}

impl route::Guest for Oldest {
    fn route(_: String, _: Kind, _: u64, _: Facts, _: u32) -> route::Verdict {
        called("route");
        let values = match question::relations().is_empty() {
            true => CALLED.with_borrow(Clone::clone),
            false => host(),
        };
        let rows = values.into_iter().map(|value| vec![Some(value)]).collect();
        let decision =
            route::Decision::Answer(route::Table { columns: vec!["value".into()], rows });
        route::Verdict { decision, remember: Remember::Never }
    }
}

/// What each function of the host says.
fn host() -> Vec<String> {
    log::write(log::Level::Info, "it is asked");
    metrics::count("asked", 1);
    metrics::gauge("level", 0.5);
    metrics::observe("size", 3);
    let set = kv::set("k", b"1", Some(60_000));
    let sum = kv::increment("k", 1, None);
    let swapped = kv::compare_and_swap("k", Some(b"2"), b"3", None);
    let held = kv::get("k");
    kv::delete("k");
    let names: Vec<String> = nodes::all().into_iter().map(|node| node.name).collect();
    vec![
        format!("{:?}", settings::get("greeting")),
        question::user(),
        question::database(),
        question::application_name(),
        format!("{:?}", question::tag("app")),
        format!("{:?}", question::literal(0)),
        format!("{:?}", question::parameter(1)),
        format!("{:?}", question::relations()),
        format!("{set:?} {sum:?} {swapped:?} {held:?} {:?}", kv::get("k")),
        format!("{names:?}"),
        format!("{:?}", catalog::function(None, "f")),
        format!("{}", clock::wall_ms() > 0 && clock::monotonic_ns() > 0),
        format!("{}", random::next() != random::next()),
    ]
}

impl retry::Guest for Oldest {
    fn failed(_: retry::Failure, _: String, _: Kind, _: u64, _: Facts, _: u32) -> retry::Decision {
        called("failed");
        retry::Decision::Again(retry::Again { target: retry::Target::Another, delay_ms: 5 })
    }
}

impl observe::Guest for Oldest {
    fn statements(_: Vec<observe::Observation>) {
        called("statements");
    }
}

impl topology::Guest for Oldest {
    fn changed(_: u64, _: Vec<Node>) {
        called("changed");
    }
}

impl tick::Guest for Oldest {
    fn tick() -> u32 {
        called("tick");
        10
    }
}

impl state::Guest for Oldest {
    fn snapshot() -> Vec<u8> {
        called("snapshot");
        CALLED.with_borrow(|called| called.join(" ")).into_bytes()
    }

    fn restore(before: Vec<u8>) -> Result<(), String> {
        let before = String::from_utf8(before).map_err(|error| error.to_string())?;
        before.split(' ').for_each(called);
        called("restore");
        Ok(())
    }
}

bindings::export!(Oldest with_types_in bindings);
