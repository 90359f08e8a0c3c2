//! Whatever the program prints, no secret is in it.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use howdah_pgcluster::{Auth, Cluster, Installation, Options};

/// Longest wait for anything that must come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that must not be seen. No other word contains one of them.
const SECRETS: [&str; 8] = [
    "sesame-of-the-monitor",
    "sesame-of-the-user",
    "sesame-of-the-server",
    "sesame-of-the-asker",
    "sesame-of-the-looked-up",
    "sesame-of-the-file",
    "sesame-of-the-redis",
    "sesame-that-is-wrong",
];

fn howdah() -> Command {
    Command::new(env!("CARGO_BIN_EXE_howdah"))
}

fn psql(port: &str, user: &str, password: &str, sql: &str) -> Output {
    psql_in("postgres", port, user, password, sql)
}

fn psql_in(database: &str, port: &str, user: &str, password: &str, sql: &str) -> Output {
    Command::new(Installation::find().unwrap().bin.join("psql"))
        .args(["-XAt", "-h", "127.0.0.1", "-p", port, "-U", user, "-d", database, "-c", sql])
        .env("PGPASSWORD", password)
        .output()
        .unwrap()
}

/// All that the console shows.
fn shown(port: &str) -> String {
    let show = |sql: &str| {
        let output = psql_in("howdah", port, "app", "sesame-of-the-user", sql);
        assert!(output.status.success(), "{sql}: {}", text(&output));
        text(&output)
    };
    let help = show("SHOW HELP");
    let commands = help.lines().filter_map(|line| line.split('|').next());
    let commands = commands.filter(|line| line.starts_with("SHOW ") && !line.contains('…'));
    let tables: Vec<String> = commands.map(show).collect();
    assert!(tables.len() > 15, "{help}");
    tables.concat()
}

/// What Prometheus is told.
fn metrics(port: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: howdah\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    answer
}

/// The port behind these words of a log.
fn port_in<'a>(log: &'a str, words: &str) -> Option<&'a str> {
    let line = log.lines().find(|line| line.contains(words))?;
    line.split_once("address=\"127.0.0.1:")?.1.split('"').next()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn no_secret_is_printed() {
    let exe = std::env::current_exe().unwrap();
    let template = exe.ancestors().nth(3).map(|target| target.join("howdah-tests"));
    let options = Options { replicas: 0, auth: Auth::Scram, template, ..Options::default() };
    let cluster = Cluster::start(&options).unwrap();
    let roles = "ALTER ROLE postgres PASSWORD 'sesame-of-the-monitor'; \
         CREATE ROLE rw LOGIN PASSWORD 'sesame-of-the-server'; \
         CREATE ROLE filed LOGIN PASSWORD 'sesame-of-the-file'; \
         CREATE ROLE sought LOGIN PASSWORD 'sesame-of-the-looked-up'; \
         CREATE ROLE asks LOGIN SUPERUSER PASSWORD 'sesame-of-the-asker'";
    cluster.primary().query("postgres", roles).unwrap();
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'sought'";
    let verifier = cluster.primary().value("postgres", sql).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("filed.password"), "sesame-of-the-file\n").unwrap();
    let config = format!(
        "listen = [\"127.0.0.1:0\"]\ncontrol = \"control\"\n[log]\nlevel = \"trace\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[admin]\noperators = [\"app\"]\n\
         [auth.query]\nuser = \"asks\"\npassword = \"sesame-of-the-asker\"\n\
         [user.app]\npassword = \"sesame-of-the-user\"\nserver_user = \"rw\"\nserver_password = \"sesame-of-the-server\"\n\
         [user.filed]\npassword_file = \"filed.password\"\n\
         [user.lost]\npassword = \"sesame-of-the-user\"\nserver_password = \"sesame-that-is-wrong\"\n\
         [kv]\nurl = \"redis://127.0.0.1:1\"\npassword = \"sesame-of-the-redis\"\n\
         [cluster.main]\nnodes = {:?}\nmonitor = {{ user = \"postgres\", password = \"sesame-of-the-monitor\" }}\n",
        cluster.nodes()
    );
    std::fs::write(path("howdah.toml"), &config).unwrap();
    let mut printed =
        text(&howdah().args(["check", "--config", &path("howdah.toml")]).output().unwrap());
    let log = std::fs::File::create(path("log")).unwrap();
    let mut child = howdah()
        .args(["run", "--config", &path("howdah.toml")])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let give_up = Instant::now() + PATIENCE;
    let (port, metrics_port) = loop {
        let log = std::fs::read_to_string(path("log")).unwrap();
        let ports = port_in(&log, " listening ").zip(port_in(&log, "the metrics are to be had"));
        if let Some((port, metrics)) = ports {
            break (port.to_owned(), metrics.to_owned());
        }
        assert!(Instant::now() < give_up, "{log}");
        std::thread::sleep(Duration::from_millis(20));
    };
    for (user, password, lets_in) in [
        ("app", "sesame-of-the-user", true),
        ("app", "sesame-that-is-wrong", false),
        ("filed", "sesame-of-the-file", true),
        ("sought", "sesame-of-the-looked-up", true),
        ("sought", "sesame-that-is-wrong", false),
        ("lost", "sesame-of-the-user", false),
        ("nobody", "sesame-that-is-wrong", false),
    ] {
        let output = psql(&port, user, password, "SHOW howdah.causal_token");
        assert_eq!(output.status.success(), lets_in, "{user}: {}", text(&output));
        printed += &text(&output);
    }
    printed += &shown(&port);
    printed += &metrics(&metrics_port);
    // Errors of the server's, whose texts are not the proxy's, may quote a statement; the proxy itself never does.
    printed += &text(&psql(
        &port,
        "app",
        "sesame-of-the-user",
        "ALTER ROLE nobody PASSWORD 'sesame-that-is-wrong'",
    ));
    for arguments in
        [&["nodes"][..], &["failovers"], &["policy", "status"], &["policy", "status", "--json"]]
    {
        let output =
            howdah().args(arguments).arg("--config").arg(path("howdah.toml")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        printed += &text(&output);
    }
    // A configuration with mistakes, in every value.
    let broken = config.replace("\"sesame", "\"\\u0000sesame").replace("[log]", "[log]\nlevle = 1");
    std::fs::write(path("broken.toml"), broken).unwrap();
    printed += &text(&howdah().args(["check", "--config", &path("broken.toml")]).output().unwrap());
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    child.wait().unwrap();
    printed += &std::fs::read_to_string(path("log")).unwrap();
    assert!(
        printed.contains("TRACE") && printed.contains("unknown key"),
        "much is printed:\n{printed}"
    );
    let keys = verifier.split(['$', ':']).skip(3);
    for secret in SECRETS.into_iter().chain(keys) {
        assert!(!printed.contains(secret), "{secret} is in:\n{printed}");
    }
}
