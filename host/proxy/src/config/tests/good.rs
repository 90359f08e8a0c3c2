use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use howdah_decision::PoolMode;

use super::{parse, parse_in};
use crate::config::surroundings::Surroundings;
use crate::config::{
    AuthMethod, Config, Grant, LogFormat, OnFailure, Others, PolicySource, SettingValue, Size,
    nodes,
};

const MINIMAL: &str = "[cluster.main]\nnodes = [\"10.0.0.1\"]\n";

#[test]
fn one_cluster_is_enough() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:6432");
    assert!(config.workers >= 1);
    assert_eq!((config.auth.method, config.others), (AuthMethod::Trust, Others::Admitted));
    assert_eq!(config.clusters[0].nodes[0].name, "10.0.0.1:5432");
    assert_eq!(config.cluster_of("anything"), Some(0));
    assert_eq!(config.clusters[0].monitor.timeout, Duration::from_millis(1_500));
    assert_eq!((config.pool.mode, config.pool.size), (PoolMode::Transaction, 20));
    assert_eq!(config.limits.max_clients, 10_000);
    assert_eq!(config.policies.len(), 1);
    assert_eq!(config.policies[0].source, PolicySource::BuiltIn);
    assert_eq!(config.policies[0].limits.memory, Size(32 << 20));
    assert_eq!(config.log.format, LogFormat::Human);
    let login = config.login("bob", "shop", &config.clusters[0].nodes[0]).unwrap();
    assert_eq!((login.user.as_str(), login.database.as_str()), ("bob", "shop"));
    assert!(login.password.is_none() && config.warnings.is_empty());
}

#[test]
fn rules_that_may_not_be_meant_are_warned_of() {
    let text = format!(
        "{MINIMAL}
        [[rule]]
        method = \"trust\"
        addresses = [\"local\", \"127.0.0.0/8\", \"::1\"]
        [[rule]]
        method = \"reject\"
        tls = \"require\"
        [[rule]]
        method = \"trust\"
        [[rule]]
        method = \"scram-sha-256\"
        users = [\"app\", \"bob\"]
        databases = [\"shop\"]"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.others, Others::Admitted);
    assert_eq!(
        config.warnings,
        [
            "rules behind number 3 are never reached: it fits everybody",
            "rule 2 fits nobody: without [tls] no client encrypts",
            "rule 3: clients of other machines are let in without a password",
        ]
    );
    let shown: Vec<String> = config.rules.iter().map(ToString::to_string).collect();
    assert_eq!(shown[0], "from local or 127.0.0.0/8 or ::1: trust");
    assert_eq!(shown[1], "from everywhere, with TLS: reject");
    assert_eq!(shown[3], "from everywhere, user app or bob, database shop: scram-sha-256");
}

#[test]
fn users_may_be_looked_up() {
    let config = parse(&format!("{MINIMAL}[auth.query]\nuser = \"asks\"\n[user.app]\n")).unwrap();
    assert_eq!((config.auth.method, config.others), (AuthMethod::ScramSha256, Others::Admitted));
    let query = config.auth.query.clone().unwrap();
    assert_eq!((query.user.as_str(), query.database.as_str()), ("asks", "postgres"));
    let login = config.login("bob", "shop", &config.clusters[0].nodes[0]).unwrap();
    assert_eq!((login.user.as_str(), login.password), ("bob", None));
}

#[test]
fn a_user_logs_in_as_somebody_else() {
    let text = format!(
        "{MINIMAL}
        [user.app]
        password_file = \"app.password\"
        [user.env]
        password_env = \"APP_PASSWORD\"
        server_user = \"other\"
        [user.apart]
        password = \"one\"
        server_password = \"two\""
    );
    let config = parse(&text).unwrap();
    assert_eq!((config.auth.method, config.others), (AuthMethod::ScramSha256, Others::Refused));
    let node = &config.clusters[0].nodes[0];
    let login = |user: &str| {
        let login = config.login(user, "db", node)?;
        Some((login.user, login.password.unwrap().reveal().to_owned()))
    };
    let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    assert_eq!(login("app"), pair("app", "hush"));
    assert_eq!(login("env"), pair("other", "from the environment"));
    assert_eq!(login("apart"), pair("apart", "two"));
    assert_eq!(login("stranger"), None);
}

#[test]
fn a_verifier_lets_in_and_logs_in_nowhere() {
    let key = format!("{}=", "A".repeat(43));
    let text =
        format!("{MINIMAL}[user.app]\npassword = \"SCRAM-SHA-256$4096:c2FsdA==${key}:{key}\"");
    let user = &parse(&text).unwrap().users["app"];
    assert!(user.password.is_some() && user.server_password.is_none());
}

#[test]
fn wishes_of_users_come_before_those_of_databases() {
    let text = format!(
        "{MINIMAL}
        [pool]
        size = 3
        [database.shop]
        pool_mode = \"session\"
        pool_size = 5
        [user.app]
        pool_size = 7"
    );
    let config = parse(&text).unwrap();
    let pool = |user, database| {
        let pool = config.pool_for(user, database);
        (pool.mode, pool.size)
    };
    assert_eq!(pool("app", "shop"), (PoolMode::Session, 7));
    assert_eq!(pool("bob", "shop"), (PoolMode::Session, 5));
    assert_eq!(pool("bob", "else"), (PoolMode::Transaction, 3));
}

#[test]
fn clusters_keep_their_order_and_share_the_databases() {
    let text = "[cluster.zoo]\nnodes = [\"a\"]\n[cluster.archive]\nnodes = [\"[::1]:6000\", \"/run/pg:5433\"]
        databases = [\"old\"]\n[cluster.hidden]\nnodes = [\"b\"]";
    let config = parse(text).unwrap();
    let names: Vec<&str> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["zoo", "archive", "hidden"]);
    assert_eq!(config.cluster_of("old"), Some(1));
    assert_eq!(config.cluster_of("new"), Some(0));
    let node = &config.clusters[1].nodes[0];
    assert_eq!((node.name.as_str(), node.address.host.as_str()), ("[::1]:6000", "::1"));
    assert_eq!(config.clusters[1].nodes[1].address.host, "/run/pg");
}

#[test]
fn a_policy_has_settings_of_all_kinds() {
    let text = format!(
        "{MINIMAL}
        [[policy]]
        name = \"mine\"
        path = \"policy.wasm\"
        on_failure = \"closed\"
        grants = [\"metrics\"]
        clusters = [\"main\"]
        users = [\"anybody\"]
        limits = {{ time = \"1.5ms\", memory = \"64 MiB\" }}
        [policy.settings]
        flag = true
        share = 0.5
        count = 0x10
        words = [\"a\", \"b\"]
        deep.er = \"x\"
        [[policy]]
        name = \"second\""
    );
    let config = parse(&text).unwrap();
    let policy = &config.policies[0];
    assert!(matches!(&policy.source, PolicySource::File(path) if path.ends_with("policy.wasm")));
    assert_eq!(policy.on_failure, OnFailure::Closed);
    assert_eq!(policy.grants, [Grant::Metrics]);
    assert_eq!(policy.limits.time, Duration::from_micros(1_500));
    assert_eq!(policy.limits.memory, Size(64 << 20));
    let text = |text: &str| text.to_owned();
    let expected = [
        (text("flag"), SettingValue::Boolean(true)),
        (text("share"), SettingValue::Number(0.5)),
        (text("count"), SettingValue::Integer(16)),
        (text("words"), SettingValue::Texts(vec![text("a"), text("b")])),
        (text("deep.er"), SettingValue::Text(text("x"))),
    ];
    assert_eq!(policy.settings, BTreeMap::from(expected));
    assert_eq!(config.policies[1].name, "second");
}

#[test]
fn trust_beyond_this_machine_is_warned_of() {
    let refused = parse(&format!("listen = [\"0.0.0.0:6432\"]\n{MINIMAL}")).unwrap();
    assert!(refused.warnings[0].contains("clients of other machines that come to 0.0.0.0:6432"));
    let open = parse(&format!("auth.trust_remote = true\n{MINIMAL}")).unwrap();
    assert_eq!(open.warnings, ["clients of other machines are let in without a password"]);
}

#[test]
fn some_keys_need_a_restart() {
    let old = parse(&format!("workers = 1\n{MINIMAL}")).unwrap();
    let new =
        parse(&format!("workers = 2\nlisten = [\"[::1]:1\"]\npool.size = 9\n{MINIMAL}")).unwrap();
    assert_eq!(Config::restart_needed(&old, &new), ["listen", "workers"]);
    assert_eq!(Config::restart_needed(&old, &old), [""; 0]);
}

#[test]
fn nodes_alone_are_enough() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".pgpass");
    std::fs::write(&file, "a:5432:*:*:first\n*:*:*:app:second\n").unwrap();
    set_mode(&file, 0o600);
    let home = directory.path().as_os_str().to_owned();
    let variable = |name: &str| match name {
        "HOME" => Some(home.clone()),
        "PGUSER" => Some(OsString::from("watcher")),
        _ => None,
    };
    let read = || {
        let surroundings = Surroundings { directory: Path::new(""), variable: &variable };
        nodes::config(&["a".to_owned(), "b:6000".to_owned()], &surroundings).unwrap()
    };
    let config = read();
    let [a, b] = config.clusters[0].nodes.as_slice() else { panic!("two nodes were given") };
    let password =
        |login: crate::upstream::Login| login.password.map(|one| one.reveal().to_owned());
    assert_eq!(password(config.login("app", "db", a).unwrap()).unwrap(), "first");
    assert_eq!(password(config.login("app", "db", b).unwrap()).unwrap(), "second");
    assert_eq!(config.monitor_login(&config.clusters[0], b).user, "watcher");
    assert_eq!(password(config.monitor_login(&config.clusters[0], b)), None);

    set_mode(&file, 0o644);
    let config = read();
    assert_eq!(password(config.login("app", "db", &config.clusters[0].nodes[0]).unwrap()), None);
    assert!(config.warnings[0].contains("nobody else may read"));
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn wrong_nodes_are_all_reported() {
    let variable = |_: &str| None;
    let surroundings = Surroundings { directory: Path::new(""), variable: &variable };
    let given = ["a:x", "b", "b:5432", "[::1"].map(str::to_owned);
    let mistakes = nodes::config(&given, &surroundings).unwrap_err();
    let messages: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "--node: \"a:x\" is not an address such as \"10.0.0.1:5432\": the port must be 0 to 65535",
            "--node: \"b:5432\" is given twice",
            "--node: \"[::1\" is not an address such as \"10.0.0.1:5432\": the ] is missing",
        ]
    );
}

#[test]
fn values_are_shared_by_way_of_redis() {
    assert!(parse(MINIMAL).unwrap().kv.is_none());
    let text = format!(
        "{MINIMAL}[kv]\nurl = \"redis://[::1]/3\"\nuser = \"howdah\"\npassword_env = \"APP_PASSWORD\"\n\
         refresh = \"50ms\"\n"
    );
    let kv = parse(&text).unwrap().kv.unwrap();
    assert_eq!((kv.server.host.as_str(), kv.server.port, kv.database), ("::1", 6379, 3));
    assert_eq!(kv.user.as_deref(), Some("howdah"));
    assert_eq!(kv.password.unwrap().reveal(), "from the environment");
    assert_eq!((kv.refresh, kv.prefix.as_str()), (Duration::from_millis(50), "howdah:"));
}

#[test]
fn secrets_do_not_show() {
    let users = "[user.app]\npassword = \"hunter2\"\n";
    let kv = "[kv]\nurl = \"redis://a\"\npassword = \"hunter2\"\n";
    let config = parse(&format!("{MINIMAL}{users}{kv}")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn private_keys_do_not_show_and_should_not_lie_open() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = directory.path().join("key");
    std::fs::write(directory.path().join("crt"), made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = format!("{MINIMAL}[tls]\ncert_file = \"crt\"\nkey_file = \"key\"\n");
    for (mode, warnings) in [(0o600, 0), (0o644, 1)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = parse_in(&text, directory.path()).unwrap();
        assert_eq!(config.warnings.len(), warnings, "{:?}", config.warnings);
        let der = made.signing_key.serialize_der();
        assert!(!format!("{config:?}").contains(&format!("{:?}", &der[der.len() - 8..])[1..20]));
    }
}
