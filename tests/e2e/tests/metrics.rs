//! What Prometheus is told.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use howdah_e2e::http::{self, free_port};
use howdah_e2e::{
    PATIENCE, RawClient, Running, cluster, connect, on_replica, shared, try_connect, try_value,
    value, wait,
};
use howdah_pgcluster::Auth;

/// Status and body of an answer.
fn get(port: u16, path: &str) -> (u16, String) {
    let answer = http::get(port, path, &[]);
    (answer.status, answer.body)
}

/// What `/metrics` says.
fn metrics(port: u16) -> String {
    let (status, body) = get(port, "/metrics");
    assert_eq!(status, 200);
    assert!(body.ends_with("# EOF\n"), "{body}");
    body
}

/// The figure of this name, labels included.
fn figure(port: u16, name: &str) -> f64 {
    let body = metrics(port);
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{body}")).parse().unwrap()
}

/// All figures of this name that have these labels, together.
fn sum(port: u16, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |line: &str| {
        labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    };
    let body = metrics(port);
    let lines = body.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let values = lines.filter(|line| has(line)).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

#[test]
fn what_becomes_of_a_failover_is_counted() {
    let mut cluster = cluster(1, Auth::Trust);
    let (port, nodes) = (free_port(), cluster.nodes());
    let metrics = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n");
    let proxy = Running::start(&nodes, &metrics);
    proxy.wait_up(2);
    let mut client = RawClient::login(proxy.port);
    client.query("CREATE TABLE kept (n int)");
    client.until_ready();
    let of_node = |name: &str, node: usize, more: &str| {
        let node = &nodes[node];
        figure(port, &format!("{name}{{cluster=\"main\",node=\"{node}\"{more}}}"))
    };
    assert_eq!(figure(port, "howdah_clients"), 1.0);
    assert_eq!(of_node("howdah_node_primary", 0, ""), 1.0);
    assert!(of_node("howdah_batches_total", 0, ",kind=\"other\"") >= 1.0);
    assert_eq!(figure(port, "howdah_failovers_total{cluster=\"main\"}"), 0.0);
    assert_eq!(get(port, "/livez"), (200, "ok\n".into()));
    assert_eq!(get(port, "/readyz"), (200, "ok\n".into()));
    assert_eq!(get(port, "/none").0, 404);
    cluster.wait_replayed().unwrap();
    cluster.primary_mut().kill();
    wait("the loss to be noticed", || figure(port, "howdah_writable{cluster=\"main\"}") == 0.0);
    client.query("INSERT INTO kept VALUES (1)");
    wait("the statement to wait", || figure(port, "howdah_held{cluster=\"main\"}") == 1.0);
    cluster.replicas()[0].promote().unwrap();
    let answer = client.until_ready();
    assert!(answer.iter().all(|message| RawClient::error(message).is_none()), "{answer:?}");
    assert_eq!(figure(port, "howdah_failovers_total{cluster=\"main\"}"), 1.0);
    assert_eq!(figure(port, "howdah_holds_total{cluster=\"main\"}"), 1.0);
    assert_eq!(figure(port, "howdah_held{cluster=\"main\"}"), 0.0);
    assert_eq!(of_node("howdah_node_up", 0, ""), 0.0);
    assert_eq!(of_node("howdah_node_primary", 1, ""), 1.0);
    for outcome in ["committed", "not committed", "unknown"] {
        let name = format!("howdah_commits_in_doubt_total{{outcome=\"{outcome}\"}}");
        assert_eq!(figure(port, &name), 0.0);
    }
}

#[test]
fn a_proxy_without_servers_is_alive_and_not_ready() {
    let port = free_port();
    let metrics = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n");
    let _proxy = Running::start(&["127.0.0.1:1".to_owned()], &metrics);
    assert_eq!(get(port, "/livez").0, 200);
    assert_eq!(get(port, "/readyz"), (503, "no node answers\n".into()));
    assert_eq!(figure(port, "howdah_clients"), 0.0);
}

/// A proxy in front of the shared cluster that tells its figures, and where.
fn telling(more: &str) -> (Running, u16) {
    let port = free_port();
    let more = format!("[http]\nlisten = \"127.0.0.1:{port}\"\n{more}");
    (Running::start(&shared().nodes(), &more), port)
}

/// Waits for a condition, while other tasks go on.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn statements_are_counted_by_where_they_went_and_why() {
    let (proxy, port) = telling("");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    let durations = "howdah_query_duration_seconds_count";
    let primary = shared().nodes()[0].clone();
    let seen = |labels: &[(&str, &str)]| sum(port, durations, labels);
    let reads = [("kind", "read"), ("source", "policy")];
    let (before, rows) = (seen(&reads), sum(port, "howdah_rows_total", &[]));
    for _ in 0..5 {
        assert!(on_replica(&client).await);
    }
    client.query("SELECT generate_series(1, 7)", &[]).await.unwrap();
    assert_eq!(seen(&reads) - before, 6.0);
    assert_eq!(sum(port, "howdah_rows_total", &[]) - rows, 12.0);
    assert!(sum(port, "howdah_query_duration_seconds_sum", &reads) > 0.0);
    let all = [reads[0], reads[1], ("le", "+Inf")];
    assert_eq!(sum(port, "howdah_query_duration_seconds_bucket", &all), seen(&reads));
    // In a transaction nobody is asked.
    client.batch_execute("BEGIN; CREATE TEMPORARY TABLE gone (n int)").await.unwrap();
    client.batch_execute("INSERT INTO gone VALUES (1)").await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    let bound = [("source", "bound"), ("node", primary.as_str())];
    assert_eq!(seen(&[bound[0], bound[1], ("kind", "write")]), 1.0);
    // Answered by the proxy.
    client.batch_execute("SET howdah.explain = off").await.unwrap();
    assert!(seen(&[("node", "")]) >= 1.0);
    assert_eq!(sum(port, "howdah_errors_total", &[]), 0.0);
    try_value(&client, "SELECT nothing").await.unwrap_err();
    client.query("SELECT 1 / (random() * 0)::int", &[]).await.unwrap_err();
    // The driver hears of an error before the answer is complete.
    until("errors to be counted", || {
        ["42", "22"].map(|class| sum(port, "howdah_errors_total", &[("class", class)])) == [1.0; 2]
    })
    .await;
    assert!(figure(port, "process_resident_memory_bytes") > 1e6);
    assert!(figure(port, "howdah_statements") > 3.0);
    let idle = figure(port, "howdah_sessions{state=\"idle\"}");
    assert!(idle >= 1.0 && idle <= figure(port, "howdah_clients"));
    assert_eq!(sum(port, "howdah_pinned_sessions", &[]), 0.0);
    client.batch_execute("LISTEN news").await.unwrap();
    until("the session to be pinned", || {
        sum(port, "howdah_pinned_sessions", &[("reason", "listen")]) == 1.0
    })
    .await;
}

#[tokio::test]
async fn clients_and_servers_are_counted_as_they_come_and_go() {
    let (proxy, port) = telling("[user.postgres]\npassword = \"sesame\"\n[pool]\nsize = 1\n");
    proxy.wait_up(3);
    let failures =
        |why: &str| figure(port, &format!("howdah_login_failures_total{{reason=\"{why}\"}}"));
    let ends =
        |why: &str| figure(port, &format!("howdah_clients_closed_total{{reason=\"{why}\"}}"));
    let dsn = |password: &str, database: &str| {
        format!(
            "host=127.0.0.1 port={} user=postgres password={password} dbname={database}",
            proxy.port
        )
    };
    let client = try_connect(&dsn("sesame", "postgres")).await.unwrap();
    assert_eq!(figure(port, "howdah_logins_total{method=\"scram-sha-256\"}"), 1.0);
    assert_eq!((failures("wrong password"), failures("no database")), (0.0, 0.0));
    assert!(try_connect(&dsn("no-sesame", "postgres")).await.is_err());
    assert!(try_connect(&dsn("sesame", "nowhere")).await.is_err());
    RawClient::connect(proxy.port).send(b"\0\0\0\x09\0\x03\0\0x");
    drop(TcpStream::connect(("127.0.0.1", proxy.port)).unwrap());
    until("all of them to be counted", || {
        [failures("wrong password"), failures("no database"), failures("protocol")] == [1.0; 3]
            && failures("connection closed") == 1.0
    })
    .await;
    assert_eq!(figure(port, "howdah_connections_total"), 5.0);
    // Of one connection to the primary all make use.
    value(&client, "SELECT txid_current()").await;
    let of_primary = [("node", shared().nodes()[0].clone())];
    let of_primary = of_primary.each_ref().map(|(name, value)| (*name, value.as_str()));
    let servers =
        |name: &str| sum(port, &format!("howdah_server_connections_{name}_total"), &of_primary);
    assert_eq!((servers("opened"), servers("closed")), (1.0, 0.0));
    // While one has it, another one waits.
    let other = try_connect(&dsn("sesame", "postgres")).await.unwrap();
    client.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
    let waits = tokio::spawn(async move {
        value(&other, "SELECT txid_current()").await;
    });
    until("it to wait", || sum(port, "howdah_waiting", &of_primary) == 1.0).await;
    assert!(sum(port, "howdah_waiting_longest_seconds", &of_primary) > 0.0);
    let states = ["waiting", "idle in transaction", "idle"];
    let states = states.map(|state| sum(port, "howdah_sessions", &[("state", state)]));
    assert_eq!(states, [1.0, 1.0, 0.0]);
    let full = [of_primary[0], ("state", "busy")];
    assert_eq!(sum(port, "howdah_server_connections", &full), 1.0);
    // There are two pools, one of them for the database that is nowhere.
    assert_eq!(sum(port, "howdah_server_connections_limit", &of_primary), 2.0);
    let waited = sum(port, "howdah_server_wait_seconds_count", &of_primary);
    client.batch_execute("COMMIT").await.unwrap();
    waits.await.unwrap();
    assert_eq!(sum(port, "howdah_server_wait_seconds_count", &of_primary), waited + 1.0);
    // The server goes with its backend.
    let closed = sum(port, "howdah_server_connections_closed_total", &of_primary);
    try_value(&client, "SELECT pg_terminate_backend(pg_backend_pid())").await.unwrap_err();
    assert_eq!(sum(port, "howdah_server_connections_closed_total", &of_primary), closed + 1.0);
    drop(client);
    until("both to be gone", || ends("terminated") == 2.0).await;
}

/// Everything in `examples/monitoring` is about metrics that there are, by labels that they have.
#[test]
fn the_dashboard_and_the_alerts_are_about_what_there_is() {
    let (_proxy, port) = telling("");
    let body = metrics(port);
    let mut samples = BTreeSet::new();
    for line in body.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &[""],
        };
        samples.extend(ends.iter().map(|end| format!("{name}{end}")));
    }
    let (labels, expressions) = (labels(), expressions());
    assert!(expressions.len() > 60, "{} expressions", expressions.len());
    for expression in expressions {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words: Vec<&str> = expression.split(|c| !is_word(c)).collect();
        let ours = |word: &&str| word.starts_with("howdah_") || word.starts_with("process_");
        // What a scrape adds, and what buckets have.
        let mut known = BTreeSet::from(["instance", "job", "le"]);
        for name in words.iter().filter(|word| ours(word)) {
            assert!(samples.contains(*name), "there is no {name}: {expression}");
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            let of = labels.get(*name).or_else(|| labels.get(base?));
            known.extend(
                of.unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"))
                    .iter()
                    .map(String::as_str),
            );
        }
        for label in used(&expression) {
            assert!(known.contains(label.as_str()), "nothing has {label}: {expression}");
        }
    }
}

/// The labels of each metric, as docs/metrics.md says.
fn labels() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let labels = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[0].trim().trim_end_matches('`').to_owned(), labels)
    })
    .collect()
}

/// The labels that an expression selects or groups by.
fn used(expression: &str) -> Vec<String> {
    let inside = |open: &str, close: char| {
        let parts = expression.split(open).skip(1);
        parts.map(|part| part.split(close).next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let selected = inside("{", '}').into_iter().flat_map(|matchers| {
        let names = matchers.split('=').rev().skip(1).map(|part| {
            let name = part.rsplit(['"', ',', ' ']).find(|word| !word.is_empty());
            name.unwrap_or_default().trim_end_matches('!').to_owned()
        });
        names.collect::<Vec<_>>()
    });
    let grouped = inside("by (", ')')
        .into_iter()
        .flat_map(|names| names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>());
    selected.chain(grouped).collect()
}

/// What the dashboard and the alerts ask.
fn expressions() -> Vec<String> {
    let read = |name: &str| {
        std::fs::read_to_string(root().join("examples/monitoring").join(name)).unwrap()
    };
    let mut all = Vec::new();
    collect(&serde_json::from_str(&read("dashboard.json")).unwrap(), &mut all);
    // Those of several lines are indented further than what follows.
    let alerts = read("alerts.yml");
    for rule in alerts.split("expr:").skip(1) {
        let lines = rule.lines().take_while(|line| {
            !line.trim_start().starts_with("for:") && !line.trim_start().starts_with("labels:")
        });
        all.push(
            lines.map(|line| line.trim().trim_start_matches(">-")).collect::<Vec<_>>().join(" "),
        );
    }
    all
}

fn collect(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if ["expr", "definition"].contains(&name.as_str()) => {
                        into.push(text.to_owned())
                    }
                    _ => collect(field, into),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn alerts_are_raised_when_they_should_be() {
    let setup = Command::new(root().join(".ci/setup")).arg("monitoring").output().unwrap();
    assert!(setup.status.success());
    let tools = String::from_utf8(setup.stdout).unwrap();
    let promtool = Path::new(tools.trim()).join("promtool");
    for arguments in [
        &["check", "rules", "alerts.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "alerts.test.yml"],
    ] {
        let monitoring = root().join("examples/monitoring");
        let done =
            Command::new(&promtool).args(arguments).current_dir(monitoring).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
