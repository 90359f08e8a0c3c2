//! What the page is made of: tables, explanations and orders by HTTP, and who may have them.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use howdah_e2e::http::{Answer, free_port, get, post, send};
use howdah_e2e::{Running, connect, shared, try_connect, value, wait};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";

/// Passwords `sesame one`, `sesame two` and `sesame three`; of the second an MD5 hash is kept, of the third a verifier.
const USERS: &str = "[user.postgres]\n[user.dba]\npassword = \"sesame one\"\n\
     [user.hashed]\npassword = \"md5@sesame@\"\n\
     [user.verified]\npassword = \"@sesame-verifier@\"\n\
     [user.client]\npassword = \"sesame one\"\n\
     [auth]\nmethod = \"trust\"\n\
     [admin]\noperators = [\"dba\"]\nviewers = [\"hashed\", \"verified\"]\n";

fn users() -> String {
    let hash = howdah_wire::md5::hash("hashed", b"sesame two");
    let verifier =
        howdah_wire::scram::Verifier::derive(b"sesame three", b"a salt of sixteen", 4096);
    USERS.replace("md5@sesame@", &hash).replace("@sesame-verifier@", &verifier.to_string())
}

/// A proxy in front of the shared cluster, and the port of its page.
fn proxy(http: &str, more: &str) -> (Running, u16) {
    let port = free_port();
    let more = format!("{more}\n[http]\nlisten = \"127.0.0.1:{port}\"\n{http}\n");
    (Running::start(&shared().nodes(), &more), port)
}

fn quick(http: &str) -> (Running, u16) {
    proxy(http, &format!("limits.failed_login_delay = \"0ms\"\n{}", users()))
}

/// The header of a user with a password.
fn login(user: &str, password: &str) -> String {
    use base64::Engine;
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {both}")
}

fn ordered(port: u16, headers: &[&str], order: &str) -> Answer {
    let dba = login("dba", "sesame one");
    let headers: Vec<&str> = headers.iter().copied().chain([JSON, &dba]).collect();
    post(port, "/api/order", &headers, &json!({ "order": order }).to_string())
}

#[tokio::test]
async fn tables_are_those_of_the_console() {
    let (proxy, port) = quick("");
    proxy.wait_up(3).wait_split().await;
    let client = connect(proxy.port, "postgres").await;
    value(&client, "SELECT 1").await;
    let dsn = format!("host=127.0.0.1 port={} user=dba dbname=howdah", proxy.port);
    let console = try_connect(&dsn).await.unwrap();
    let help = console.query("SHOW HELP", &[]).await.unwrap();
    let tables = help.iter().filter_map(|row| row.get::<_, &str>(0).strip_prefix("SHOW "));
    let tables: Vec<&str> = tables.filter(|name| !name.contains('…')).collect();
    assert!(tables.len() > 15);
    for table in &tables {
        let name = table.to_ascii_lowercase();
        let told = get(port, &format!("/api/{name}"), &[]).json();
        let statement = console.prepare(&format!("SHOW {table}")).await.unwrap();
        let columns: Vec<&str> = statement.columns().iter().map(|column| column.name()).collect();
        assert_eq!(told[&name]["columns"], json!(columns));
        let rows = told[&name]["rows"].as_array().unwrap();
        assert_eq!(told[&name]["total"], json!(rows.len()));
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == columns.len()), "{table}");
    }
    let both = get(port, "/api/nodes,clusters,nodes", &[]);
    assert_eq!(both.rows("nodes").len(), 3);
    assert_eq!(both.rows("clusters")[0]["writable"], json!(true));
    assert!(both.rows("nodes")[0]["reads"].is_number(), "{both:?}");
    let wrong = get(port, "/api/nodess", &[]);
    assert_eq!((wrong.status, &wrong.json()["sqlstate"]), (404, &json!("42P01")));
    assert!(wrong.body.contains("did you mean"), "{wrong:?}");
    let explained = get(port, "/api/explain?sql=SELECT%201&user=postgres&database=postgres", &[]);
    let told = explained.rows("explain");
    assert!(told.iter().any(|row| row["step"] == "kind" && row["what"] == "read"), "{told:?}");
    assert_eq!(get(port, "/api/explain?user=postgres", &[]).status, 400);
    assert_eq!(get(port, "/api/explain?sql=SELECT&colour=red", &[]).status, 400);
}

#[test]
fn who_must_log_in_and_what_they_may_do() {
    let (_proxy, port) = quick("login = true");
    for path in ["/", "/style.css", "/api/nodes", "/api/explain?sql=SELECT", "/api/none", "/none"] {
        let answer = get(port, path, &[]);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: basic"), "{answer:?}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_ne!(get(port, path, &[]).status, 401, "{path}");
    }
    let junk =
        ["Authorization: Basic", "Authorization: Basic !", "Authorization: Bearer b25lOnR3bw=="];
    let wrong = [
        login("dba", "sesame two"),
        login("dba", ""),
        login("hashed", "sesame one"),
        login("hashed", &howdah_wire::md5::hash("hashed", b"sesame two")),
        login("verified", "sesame two"),
        login("nobody", "sesame one"),
        // A client, but no operator.
        login("client", "sesame one"),
    ];
    for header in wrong.iter().map(String::as_str).chain(junk) {
        assert_eq!(get(port, "/api/nodes", &[header]).status, 401, "{header}");
    }
    for (user, password, orders) in [
        ("dba", "sesame one", true),
        ("hashed", "sesame two", false),
        ("verified", "sesame three", false),
    ] {
        let header = login(user, password);
        assert_eq!(get(port, "/", &[&header]).status, 200);
        let answer = get(port, "/api/visitor", &[&header]);
        assert_eq!(answer.json(), json!({ "user": user, "orders": orders }));
        let order = post(port, "/api/order", &[&header, JSON], r#"{"order": "RECONNECT"}"#);
        assert_eq!(order.status, if orders { 200 } else { 403 }, "{order:?}");
    }
    assert_eq!(post(port, "/api/order", &[JSON], r#"{"order": "RECONNECT"}"#).status, 401);
}

#[test]
fn without_login_one_looks_and_orders_nothing() {
    let (_proxy, port) = quick("metrics_login = true");
    assert_eq!(get(port, "/", &[]).status, 200);
    assert_eq!(get(port, "/api/visitor", &[]).json(), json!({ "user": null, "orders": false }));
    let order = post(port, "/api/order", &[JSON], r#"{"order": "PAUSE"}"#);
    assert_eq!((order.status, &order.json()["sqlstate"]), (403, &json!("42501")));
    assert_eq!(get(port, "/login", &[]).status, 401);
    let header = login("dba", "sesame one");
    let back = get(port, "/login", &[&header]);
    assert!(back.status == 303 && back.head.contains("location: /\r\n"), "{back:?}");
    assert_eq!(get(port, "/api/visitor", &[&header]).json()["orders"], json!(true));
    assert_eq!(get(port, "/metrics", &[]).status, 401);
    assert_eq!(get(port, "/metrics", &[&header]).status, 200);
    assert_eq!(get(port, "/livez", &[]).status, 200);
    // A page whose name was made to lead here could read all.
    for path in ["/", "/api/nodes", "/login"] {
        let answer = get(port, path, &["Host: evil.example", &header]);
        assert_eq!(answer.status, 421, "{path}");
    }
    assert_eq!(get(port, "/livez", &["Host: evil.example"]).status, 200);
}

#[test]
fn wrong_passwords_are_answered_ever_more_slowly() {
    let (_proxy, port) = proxy("", &users());
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(get(port, "/", &[&login("dba", "sesame two")]).status, 401);
        assert_eq!(get(port, "/", &[&login("nobody", "sesame two")]).status, 401);
    }
    // 50, 100, 200 and 400 ms at least.
    assert!(began.elapsed() >= Duration::from_millis(750));
    assert_eq!(get(port, "/", &[&login("dba", "sesame one")]).status, 200);
}

#[test]
fn orders_are_those_of_the_console() {
    let (proxy, port) = quick("");
    proxy.wait_up(3);
    let node = &shared().nodes()[1];
    let note = || {
        let nodes = get(port, "/api/nodes", &[]).rows("nodes");
        nodes.iter().find(|row| row["node"] == json!(node)).unwrap()["note"].clone()
    };
    let done = ordered(port, &[], &format!("DRAIN '{node}'"));
    assert_eq!((done.status, done.json()), (200, json!({ "done": "DRAIN" })));
    assert_eq!(note(), json!("drained"));
    assert_eq!(ordered(port, &[], &format!("UNDRAIN '{node}'")).status, 200);
    assert_eq!(note(), Value::Null);
    for (order, sqlstate) in [
        ("SHOW NODES", "42601"),
        ("SELECT 1", "42601"),
        ("RECONNECT; RECONNECT", "42601"),
        ("", "42601"),
        ("DRAIN 'nothing'", "22023"),
        ("DRAIN $1", "22004"),
        ("POLICY nothing ROLLBACK", "22023"),
    ] {
        let answer = ordered(port, &[], order);
        assert_eq!((answer.status, &answer.json()["sqlstate"]), (400, &json!(sqlstate)), "{order}");
    }
}

/// A browser sends passwords along with what another site's page asks for.
#[test]
fn other_sites_give_no_orders() {
    let (proxy, port) = quick("");
    proxy.wait_up(3);
    let dba = login("dba", "sesame one");
    let own = format!("Origin: http://localhost:{port}");
    for headers in [
        &["Origin: http://evil.example"][..],
        &["Origin: null"],
        &[&own],
        &["Origin: http://localhost", "Sec-Fetch-Site: cross-site"],
        &["Origin: http://localhost", "Sec-Fetch-Site: same-site"],
    ] {
        assert_eq!(ordered(port, headers, "PAUSE").status, 403, "{headers:?}");
    }
    let order = r#"{"order": "PAUSE"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let header = format!("Content-Type: {kind}");
        assert_eq!(post(port, "/api/order", &[&dba, &header], order).status, 415, "{kind}");
    }
    assert_eq!(post(port, "/api/order", &[&dba], order).status, 415);
    assert_eq!(get(port, "/api/order?order=PAUSE", &[&dba]).status, 405);
    assert_eq!(post(port, "/api/nodes", &[&dba, JSON], order).status, 405);
    let clusters = get(port, "/api/clusters", &[]).rows("clusters");
    assert_eq!(clusters[0]["paused"], json!(false));
    assert_eq!(ordered(port, &["Origin: http://localhost"], "RECONNECT").status, 200);
    assert_eq!(ordered(port, &["Sec-Fetch-Site: same-origin"], "RECONNECT").status, 200);
    for path in ["/", "/api/nodes", "/main.js"] {
        let answer = get(port, path, &[]);
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{path} without {header}: {answer:?}");
        }
        assert!(!answer.head.contains("access-control"), "{answer:?}");
    }
}

#[test]
fn hostile_requests_come_to_nothing() {
    let (proxy, port) = quick("");
    proxy.wait_up(3);
    // Connections that never say what they want hinder nobody.
    let _idle: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
            stream
        })
        .collect();
    let dba = login("dba", "sesame one");
    let too_long = "x".repeat(65 << 10);
    let answer = post(port, "/api/order", &[&dba, JSON], &format!("{{\"order\": \"{too_long}\"}}"));
    assert_eq!(answer.status, 413);
    for body in ["", "{", "[]", "{}", r#"{"order": 1}"#, r#"{"order": "PAUSE", "more": 1}"#, "\0"] {
        assert_eq!(post(port, "/api/order", &[&dba, JSON], body).status, 400, "{body}");
    }
    for path in ["/../Cargo.toml", "/%2e%2e/", "/page/", "/index.html", "//", "/main.js/", "/api/"]
    {
        assert_eq!(get(port, path, &[]).status, 404, "{path}");
    }
    let sql = "/api/explain?sql=%FF%00%27&user=%00";
    assert!(matches!(get(port, sql, &[]).status, 200 | 400));
    assert_eq!(get(port, &format!("/api/{}", "nodes,".repeat(5_000)), &[]).status, 404);
    let heads = [
        format!("GET /{too_long} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1_000)),
        "GET\r\n\r\n".into(),
        "\u{16}\u{3}\u{1}".repeat(100),
        "POST /api/order HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            .into(),
    ];
    for head in heads {
        let answer = send(port, head.as_bytes());
        assert!(answer.is_none_or(|answer| answer.status >= 400), "{head:.40}");
    }
    wait("an answer", || get(port, "/api/nodes", &[]).status == 200);
}

/// All that the page consists of is here.
#[test]
fn the_page_names_no_other_place() {
    let (_proxy, port) = quick("");
    let page = get(port, "/", &[]);
    assert!(page.head.contains("content-type: text/html"), "{page:?}");
    let mut found = vec![("/".to_owned(), page.body)];
    let mut at = 0;
    while let Some((path, text)) = found.get(at).cloned() {
        at += 1;
        for place in text.split("://").skip(1) {
            assert!(place.starts_with("www.w3.org/"), "{path}: {place:.60}");
        }
        let quoted = text.split(['"', '\'']).filter(|text| !text.contains(char::is_whitespace));
        let files = quoted.filter(|text| {
            [".js", ".css", ".svg"].iter().any(|kind| text.ends_with(kind)) && text.len() > 4
        });
        for file in files {
            let file = format!("/{}", file.trim_start_matches("./").trim_start_matches('/'));
            if found.iter().all(|(path, _)| *path != file) {
                let answer = get(port, &file, &[]);
                assert_eq!(answer.status, 200, "{path} names {file}");
                found.push((file, answer.body));
            }
        }
    }
    assert!(found.len() > 10, "{}", found.len());
}
