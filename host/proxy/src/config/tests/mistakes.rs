//! Bad files, and all that is said of them.

use super::{parse, parse_in};
use crate::config::reference::EXAMPLE;
use crate::config::{AuthMethod, Others, TlsMode};

/// The smallest sound file; its two lines come before what is tested.
const SOUND: &str = "[cluster.main]\nnodes = [\"a\"]\n";

#[track_caller]
fn assert_mistakes(text: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| format!("howdah.toml:{line}")).collect();
    assert_eq!(parse(text).unwrap_err(), expected);
}

#[test]
fn an_empty_file() {
    assert_mistakes(
        "",
        &["1:1: there is no cluster: add [cluster.main] with nodes = [\"HOST:PORT\"]"],
    );
}

#[test]
fn unknown_keys() {
    assert_mistakes(
        &format!("wrokers = 2\n[polo]\n[pool]\nqwertyuiop = 1\n{SOUND}node = 1\n"),
        &[
            "1:1: unknown key \"wrokers\" at the top of the file; did you mean \"workers\"?",
            "2:2: unknown key \"polo\" at the top of the file; did you mean \"pool\"?",
            "4:1: unknown key \"qwertyuiop\" in pool; known: mode, reset, reset_always, \
             prepare_unnamed, size, max_waiting, wait_timeout, idle_timeout, lifetime, connect_timeout, show_client_address",
            "7:1: unknown key \"node\" in cluster.main; did you mean \"nodes\"?",
        ],
    );
}

#[test]
fn wrong_types_and_ranges() {
    assert_mistakes(
        &format!(
            "listen = \"a\"\nworkers = 0\n[pool]\nmode = \"transactoin\"\nsize = \"20\"\nwait_timeout = 30\n\
             idle_timeout = \"10m\"\nlifetime = \"1y\"\nconnect_timeout = \"0s\"\nmax_waiting = 1.5\n[limits]\n\
             max_clients = -1\nlogin_timeout = \"fast\"\nshutdown_timeout = \"9999999999d\"\n[auth]\n\
             trust_remote = \"no\"\n{SOUND}"
        ),
        &[
            "1:10: listen: expected a list, found a text",
            "2:11: workers: must be 1 to 128",
            "4:8: pool.mode: expected \"session\" or \"transaction\", found \"transactoin\"; \
             did you mean \"transaction\"?",
            "5:8: pool.size: expected a whole number, found a text",
            "6:16: pool.wait_timeout: expected a duration such as \"30s\", found a whole number",
            "7:16: pool.idle_timeout: unknown unit \"m\" of a duration; did you mean \"min\"?",
            "8:12: pool.lifetime: unknown unit \"y\" of a duration; known: d, h, min, s, ms, us, ns",
            "9:19: pool.connect_timeout: must be \"1ms\" to \"1h\"",
            "10:15: pool.max_waiting: expected a whole number, found a number",
            "12:15: limits.max_clients: must be 1 to 1000000",
            "13:17: limits.login_timeout: expected a duration such as \"30s\", found \"fast\"",
            "14:20: limits.shutdown_timeout: \"9999999999d\" is not a duration that can be represented",
            "16:16: auth.trust_remote: expected true or false, found a text",
        ],
    );
}

#[test]
fn addresses() {
    assert_mistakes(
        "listen = [\"*:6432\", \"::1\", \"a b\"]\n[cluster.main]\n\
         nodes = [\"a\", 5, \"b:99999\", \"postgres://c\", { name = \"d\" }, { address = \"e\", lables = {} }]\n\
         [cluster.other]\nnodes = [\":1\", \"c:0\"]\n[cluster.none]\nnodes = []\n",
        &[
            "1:11: listen: write \"0.0.0.0:6432\" or \"[::]:6432\" to listen at every address",
            "1:21: listen: \"::1\" is not an address such as \"10.0.0.1:5432\": \
             write an IPv6 address in brackets, as in \"[::1]:5432\"",
            "1:28: listen: \"a b\" is not an address such as \"10.0.0.1:5432\": it contains a blank",
            "3:15: cluster.main.nodes: expected an address such as \"10.0.0.1:5432\", or a table, \
             found a whole number",
            "3:18: cluster.main.nodes: \"b:99999\" is not an address such as \"10.0.0.1:5432\": \
             the port must be 0 to 65535",
            "3:29: cluster.main.nodes: \"postgres://c\" is not an address such as \"10.0.0.1:5432\": \
             leave out the scheme",
            "3:45: the address of the node is missing",
            "3:78: unknown key \"lables\" in cluster.main.nodes; did you mean \"labels\"?",
            "5:10: cluster.other.nodes: \":1\" is not an address such as \"10.0.0.1:5432\": the host is missing",
            "5:16: cluster.other.nodes: \"c:0\" is not the address of a server: the port must not be 0",
            "6:10: cluster none: nodes are missing, as in nodes = [\"HOST:PORT\"]",
        ],
    );
}

#[test]
fn duplicates_among_clusters() {
    assert_mistakes(
        "[cluster.one]\nnodes = [\"a\", \"a:5432\"]\n[cluster.two]\n\
         nodes = [{ address = \"c\", name = \"a:5432\" }]\ndatabases = [\"*\"]\n",
        &[
            "2:15: the node name \"a:5432\" is in cluster one already",
            "2:15: the address \"a:5432\" is in cluster one already",
            "4:10: the node name \"a:5432\" is in cluster one already",
            "5:14: the database \"*\" is in cluster one already",
        ],
    );
}

#[test]
fn passwords() {
    assert_mistakes(
        &format!(
            "{SOUND}[user.a]\npassword = \"SCRAM-SHA-256$x\"\n[user.b]\npassword = \"a\"\npassword_env = \"B\"\n\
             [user.c]\npassword_file = \"nothing\"\n[user.d]\npassword_file = \"empty\"\n[user.e]\n\
             password_env = \"NOPE\"\n[user.f]\npassword = \"md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n[user.g]\n\
             password = 12345\n[user.h]\npassword = \"\"\n[user.i]\n"
        ),
        &[
            "4:12: not a SCRAM-SHA-256 verifier (SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey)",
            "7:16: only one of password, password_file and password_env may be given",
            "9:17: cannot read nothing: No such file or directory (os error 2)",
            "11:17: the file empty is empty",
            "13:16: the environment variable NOPE is not set",
            "14:7: user f: scram-sha-256 cannot use an MD5 hash; state the password or a verifier",
            "17:12: user.g.password: expected a text, found a whole number",
            "19:12: user.h.password: must not be empty",
            "20:7: user i: a password is missing, which scram-sha-256 requires",
        ],
    );
}

#[test]
fn nobody_could_come_in() {
    assert_mistakes(
        &format!("{SOUND}[auth]\nmethod = \"scram-sha-256\"\n"),
        &["4:10: nobody could come in: list users with passwords, as in [user.app]"],
    );
}

#[test]
fn rules() {
    assert_mistakes(
        &format!(
            "{SOUND}[auth]\nmethod = \"md5\"\n[auth.query]\ndatabase = \"x\"\n[[rule]]\nusers = [\"a\"]\n\
             [[rule]]\nmethod = \"password\"\n[[rule]]\nmethod = \"peer\"\n\
             [[rule]]\nmethod = \"reject\"\naddresses = [\"here\", \"10.0.0.1/8\", \"10.0.0.0/33\"]\ntls = true\n"
        ),
        &[
            "4:10: auth.method: there are rules, which say it instead",
            "5:1: auth.query: user is required",
            "7:1: rule: method is required",
            "10:10: rule: passwords in clear need tls = \"require\"",
            "12:10: rule.method: expected \"trust\", \"scram-sha-256\", \"md5\", \"password\", \"cert\" or \"reject\", \
             found \"peer\"",
            "15:14: rule.addresses: \"here\" is not an address, a network such as \"10.0.0.0/8\", or \"local\"",
            "15:22: rule.addresses: \"10.0.0.1/8\" has bits beyond its mask; the network is \"10.0.0.0/8\"",
            "15:36: rule.addresses: \"10.0.0.0/33\" is not an address, a network such as \"10.0.0.0/8\", or \"local\"",
            "16:7: rule.tls: expected \"allow\", \"require\" or \"disable\", found true or false",
        ],
    );
}

#[test]
fn methods_that_let_nobody_in() {
    for (method, said) in [
        ("reject", "4:10: auth.method: nobody could come in"),
        ("password", "4:10: auth.method: passwords in clear need tls.mode = \"require\""),
        ("md5", "4:10: nobody could come in: list users with passwords, as in [user.app]"),
    ] {
        assert_mistakes(&format!("{SOUND}[auth]\nmethod = \"{method}\"\n"), &[said]);
    }
}

#[test]
fn a_verifier_logs_in_nowhere() {
    let key = format!("{}=", "A".repeat(43));
    assert_mistakes(
        &format!(
            "{SOUND}[user.a]\nserver_password = \"SCRAM-SHA-256$4096:c2FsdA==${key}:{key}\"\n"
        ),
        &["4:19: a verifier does not suffice to log in to servers"],
    );
}

#[test]
fn policies() {
    assert_mistakes(
        &format!(
            "{SOUND}databases = [\"shop\"]\n[user.app]\n[[policy]]\n[[policy]]\nname = \"p\"\n\
             path = \"missing.wasm\"\nusers = [\"ap\"]\nclusters = [\"mian\"]\ndatabases = [\"shopp\"]\n\
             grants = [\"metric\"]\non_failure = \"close\"\nlimits = {{ memory = \"32\", time = \"1min\" }}\n\
             [[policy]]\nname = \"p\"\npath = \".\"\n"
        ),
        &[
            "5:1: the name of the policy is missing",
            "8:8: cannot read missing.wasm: No such file or directory (os error 2)",
            "9:10: there is no user \"ap\"; did you mean \"app\"?",
            "10:13: there is no cluster \"mian\"; did you mean \"main\"?",
            "11:14: there is no database \"shopp\"; did you mean \"shop\"?",
            "12:11: policy.grants: expected \"metrics\", \"kv\", \"clock\", \"random\", \"nodes\" or \"catalog\", found \"metric\"; did you mean \"metrics\"?",
            "13:14: policy.on_failure: expected \"fallback\", \"open\" or \"closed\", found \"close\"; \
             did you mean \"closed\"?",
            "14:21: policy.limits.memory: expected a size such as \"32MiB\", found \"32\"",
            "14:34: policy.limits.time: must be \"1ms\" to \"1s\"",
            "16:8: there is a policy \"p\" already",
            "17:8: . is not a file",
        ],
    );
}

#[test]
fn settings_of_policies() {
    let kinds = "expected a text, a list of texts, true or false, or a number of 64 bits";
    assert_mistakes(
        &format!(
            "{SOUND}[[policy]]\nname = \"p\"\n[policy.settings]\na = 1979-05-27\nb = [1]\n\
             c = 99999999999999999999\n\"d.e\" = 1\nd = {{ e = 2 }}\n"
        ),
        &[
            &format!("6:5: policy.settings.a: {kinds}, found a date"),
            &format!("7:5: policy.settings.b: {kinds}; lists may hold texts only"),
            &format!("8:5: policy.settings.c: {kinds}"),
            "9:9: policy.settings.d.e: is given twice, once with a dotted name and once in a table",
        ],
    );
}

#[test]
fn values_in_place_of_tables() {
    assert_mistakes(
        "cluster = 1\nuser = []\npolicy = 3\npool = \"x\"\n[log]\nlevel = \"loud\"\n[database]\nshop = 3\n",
        &[
            "1:11: cluster: expected tables of the form [cluster.NAME], found a whole number",
            "2:8: user: expected tables of the form [user.NAME], found a list",
            "3:10: policy: expected tables of the form [[policy]], found a whole number",
            "4:8: pool: expected a table, found a text",
            "6:9: log.level: unknown level \"loud\"; known: error, warn, info, debug, trace, off",
            "8:1: database.shop: expected a table of the form [database.NAME], found a whole number",
        ],
    );
}

#[test]
fn broken_syntax_hides_no_other_line() {
    assert_mistakes(
        "[pool\nsize = 3\n[limits]\nmax_clients = \"é\" x = 1\n[log]\nlevel = \"loud\"\nformat =\n",
        &[
            "1:6: unclosed table, expected `]`",
            "4:19: unexpected key or value, expected newline, `#`",
            "6:9: log.level: unknown level \"loud\"; known: error, warn, info, debug, trace, off",
            "7:9: string values must be quoted, expected literal string",
        ],
    );
}

#[test]
fn a_key_given_twice() {
    assert_mistakes("workers = 1\nworkers = 2\n", &["2:1: duplicate key"]);
}

/// Whatever part of a file is there, it is read without a panic.
#[test]
fn files_cut_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    for end in (0..EXAMPLE.len()).filter(|end| EXAMPLE.is_char_boundary(*end)) {
        // Sound or not, it must not panic.
        let _ = super::parse_in(&EXAMPLE[..end], directory.path());
    }
}

/// Whatever is in a file, it is read without a panic.
#[test]
fn files_spoiled_anywhere() {
    const RULES: &str = "\n[auth.query]\nuser = \"a\"\nkeep = \"1s\"\n[[rule]]\nmethod = \"md5\"\n\
        addresses = [\"10.0.0.0/8\", \"::1\", \"local\"]\ntls = \"disable\"\n";
    let directory = tempfile::tempdir().unwrap();
    let whole = format!("proxy_protocol_from = [\"::/0\"]\n{EXAMPLE}{RULES}");
    // The same numbers each time (Knuth's MMIX).
    let mut state = 20_261_127_u64;
    let mut below = |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for _ in 0..1_000 {
        let mut spoiled = whole.clone().into_bytes();
        for _ in 0..=below(4) {
            let (at, from) = (below(spoiled.len()), below(spoiled.len()));
            let piece = spoiled[from..(from + below(12)).min(spoiled.len())].to_vec();
            match below(3) {
                0 => spoiled[at] = b"\"'[]{}=.#\\\n\0-9/:"[below(16)],
                1 => drop(spoiled.splice(at..at, piece)),
                _ => drop(spoiled.drain(at..(at + below(6)).min(spoiled.len()))),
            }
        }
        // Sound or not, it must not panic.
        let _ = super::parse_in(&String::from_utf8_lossy(&spoiled), directory.path());
    }
}

/// Depth costs stack, in the parser, in ours, and when it is dropped.
#[test]
fn deep_nesting() {
    let depth = 300_000;
    for text in [
        format!("a = {}", "[".repeat(depth)),
        format!("a = {}", "{b = ".repeat(depth)),
        format!("{}b = 1", "a.".repeat(depth)),
        format!("[{}b]", "a.".repeat(depth)),
        format!("[[policy]]\nname = \"p\"\nsettings.{}b = 1", "a.".repeat(depth)),
    ] {
        assert!(!parse(&text).unwrap_err().is_empty());
    }
}

#[test]
fn a_pin_must_fit_the_component() {
    let text = |pin: &str| {
        format!("{SOUND}[[policy]]\nname = \"p\"\npath = \"policy.wasm\"\nsha256 = \"{pin}\"\n")
    };
    // Of "\0asm", which is what the file holds.
    let right = howdah_policy::sha256(b"\0asm");
    let config = parse(&text(&right.to_uppercase())).unwrap();
    assert_eq!(config.policies[0].sha256.as_deref(), Some(right.as_str()));
    let wrong = "0".repeat(64);
    let mistakes = parse(&text(&wrong)).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].contains(&right) && mistakes[0].contains(&wrong), "{mistakes:?}");
    assert!(mistakes[0].contains("policy.wasm: its sha256 is"), "{mistakes:?}");
    let mistakes = parse(&text("12")).unwrap_err();
    assert!(mistakes[0].contains("64 hexadecimal digits"), "{mistakes:?}");
}

#[test]
fn a_control_socket_has_a_path_that_fits() {
    let mistakes = parse(&format!("control = \"{}\"\n{SOUND}", "x".repeat(200))).unwrap_err();
    assert!(mistakes[0].contains("cannot be a socket"), "{mistakes:?}");
}

#[test]
fn urls_of_redis() {
    let kv = |lines: &str| format!("{SOUND}[kv]\n{lines}\n");
    assert_mistakes(
        &kv("refresh = \"50ms\""),
        &["3:1: kv: the url is missing, as in url = \"redis://HOST:PORT/0\""],
    );
    assert_mistakes(
        &kv("url = \"redis://:hunter2@a:6379/0\""),
        &["4:7: kv.url: leave user and password out of the URL: they are keys of their own"],
    );
    let wrong = [
        ("a:6379", "redis:// is missing"),
        ("rediss://a", "TLS is not supported"),
        ("http://a", "it must begin with redis://"),
        ("redis://a:0", "the port must not be 0"),
        ("redis://a/x", "after the / comes the number of a database"),
        ("redis://a/-1", "after the / comes the number of a database"),
    ];
    for (url, why) in wrong {
        let said = format!(
            "4:7: kv.url: \"{url}\" is not a URL such as \"redis://10.0.0.1:6379/0\": {why}"
        );
        assert_mistakes(&kv(&format!("url = \"{url}\"")), &[&said]);
    }
}

#[test]
fn urls_of_patroni() {
    let patroni = |url: &str| format!("{SOUND}patroni = [\"{url}\"]\n");
    let wrong = [
        ("a:8008", "http:// is missing"),
        ("https://a", "TLS is not supported"),
        ("ftp://a", "it must begin with http://"),
        ("http://a:0", "the port must not be 0"),
        ("http://a/cluster", "leave out everything but host and port"),
    ];
    for (url, why) in wrong {
        let said = format!(
            "3:12: cluster.main.patroni: \"{url}\" is not a URL such as \"http://10.0.0.1:8008\": {why}"
        );
        assert_mistakes(&patroni(url), &[&said]);
    }
    let secret = patroni("http://me:hunter2@a:8008");
    let said = "3:12: cluster.main.patroni: leave user and password out of the URL: the cluster's state is for all to read";
    assert_mistakes(&secret, &[said]);
}

#[test]
fn certificates_and_keys_must_fit() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        std::fs::write(directory.path().join(name), content).unwrap();
    };
    for name in ["a", "b"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(&format!("{name}.crt"), &made.cert.pem());
        write(&format!("{name}.key"), &made.signing_key.serialize_pem());
    }
    write("empty", "");
    write("torn", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let tls = |lines: &str| parse_in(&format!("{SOUND}[tls]\n{lines}\n"), directory.path());
    let config = tls("cert_file = \"a.crt\"\nkey_file = \"a.key\"").unwrap();
    assert_eq!(config.tls.as_ref().unwrap().mode, TlsMode::Allow);
    let missing = "3:1: tls: both cert_file and key_file are required";
    let none = "cannot read none: No such file or directory (os error 2)";
    let wrong = [
        ("mode = \"require\"", missing.to_owned()),
        ("cert_file = \"a.crt\"", missing.to_owned()),
        ("cert_file = \"none\"\nkey_file = \"a.key\"", format!("4:13: tls.cert_file: {none}")),
        ("cert_file = \"a.crt\"\nkey_file = \"none\"", format!("5:12: tls.key_file: {none}")),
        (
            "cert_file = \"empty\"\nkey_file = \"a.key\"",
            "4:13: tls.cert_file: empty holds no certificate in PEM".to_owned(),
        ),
        (
            "cert_file = \"torn\"\nkey_file = \"a.key\"",
            "4:13: tls.cert_file: torn is not PEM: a section does not end".to_owned(),
        ),
        (
            "cert_file = \"a.crt\"\nkey_file = \"a.crt\"",
            "5:12: tls.key_file: a.crt holds no private key in PEM that needs no passphrase"
                .to_owned(),
        ),
        (
            "cert_file = \"a.crt\"\nkey_file = \"b.key\"",
            "5:12: tls.key_file: b.key: it does not belong to the certificate".to_owned(),
        ),
    ];
    for (lines, said) in wrong {
        assert_eq!(tls(lines).unwrap_err(), [format!("howdah.toml:{said}")], "{lines}");
    }
    let clients = "cert_file = \"a.crt\"\nkey_file = \"a.key\"";
    let with = |list: &str| tls(&format!("{clients}\ncertificates = {list}"));
    let good = with("[{ cert_file = \"b.crt\", key_file = \"b.key\" }]").unwrap().tls.unwrap();
    assert_eq!(good.files().count(), 4);
    let many = format!("[{}]", "{ cert_file = \"b.crt\", key_file = \"b.key\" },".repeat(65));
    for (list, said) in [
        (
            "[{ cert_file = \"b.crt\" }]",
            "6:17: tls.certificates: both cert_file and key_file are required",
        ),
        (
            "[{ cert_file = \"b.crt\", key_file = \"a.key\" }]",
            "6:51: tls.certificates.key_file: a.key: it does not belong to the certificate",
        ),
        (
            "[3]",
            "6:17: tls.certificates: expected a table such as { cert_file = \"a.crt\", key_file = \"a.key\" }, found a whole number",
        ),
        (&many, "6:16: tls.certificates: 64 at most"),
    ] {
        assert_eq!(with(list).unwrap_err(), [format!("howdah.toml:{said}")], "{list}");
    }
    let alone =
        tls("certificates = [{ cert_file = \"b.crt\", key_file = \"b.key\" }]").unwrap_err();
    assert_eq!(alone, [format!("howdah.toml:{missing}")]);
    let cert = format!("{clients}\nca_file = \"b.crt\"\n[auth]\nmethod = \"cert\"");
    let config = tls(&cert).unwrap();
    assert_eq!((config.auth.method, config.others), (AuthMethod::Cert, Others::Admitted));
    let mistakes = tls(&cert.replace("ca_file = \"b.crt\"", "")).unwrap_err();
    assert_eq!(mistakes, ["howdah.toml:8:10: auth.method: certificates need ca_file in [tls]"]);
    let rule = tls(&format!("{clients}\n[[rule]]\nmethod = \"cert\"")).unwrap_err();
    let needs = |what| format!("howdah.toml:7:10: rule: certificates need {what}");
    assert_eq!(rule, [needs("tls = \"require\""), needs("ca_file in [tls]")]);
    let both = format!("{clients}\n[[rule]]\nmethod = \"md5\"\nclient_cert = \"verify-ca\"");
    let needs = |what| format!("howdah.toml:8:15: rule: certificates need {what}");
    assert_eq!(tls(&both).unwrap_err(), [needs("tls = \"require\""), needs("ca_file in [tls]")]);
    let both = format!(
        "{clients}\nca_file = \"b.crt\"\n[[rule]]\nmethod = \"scram-sha-256\"\ntls = \"require\"\n\
         client_cert = \"verify-full\"\n[user.app]\ncert_names = [\"CN:x\"]\npassword = \"secret\""
    );
    let config = tls(&both).unwrap();
    let shown = "from everywhere, with TLS: scram-sha-256 and a certificate of the user's";
    assert_eq!(config.rules[0].to_string(), shown);
    let more = "howdah.toml:10:15: rule: client_cert adds nothing to the method cert";
    assert_eq!(tls(&both.replace("scram-sha-256", "cert")).unwrap_err(), [more]);
    let unseen = "howdah.toml:11:7: user app: cert_names are for the method cert, or client_cert = \"verify-full\"";
    assert_eq!(tls(&both.replace("verify-full", "verify-ca")).unwrap_err(), [unseen]);
    let mistakes = tls(&format!("{clients}\nca_file = \"empty\"")).unwrap_err();
    assert_eq!(mistakes, ["howdah.toml:6:11: tls.ca_file: empty holds no certificate in PEM"]);
    let servers =
        |lines: &str| parse_in(&format!("{SOUND}[cluster.main.tls]\n{lines}\n"), directory.path());
    let disabled = servers("mode = \"disable\"\nca_file = \"a.crt\"").unwrap();
    assert!(disabled.clusters[0].tls.is_none());
    let table = "cluster.main.tls";
    let wrong = [
        ("ca_file = \"a.crt\"", "3:1: @: the mode is missing, as in mode = \"verify-full\""),
        (
            "mode = \"verify-ca\"",
            "3:1: @: this mode requires ca_file, with the certificates that are believed",
        ),
        (
            "mode = \"require\"\nca_file = \"a.crt\"",
            "5:11: @.ca_file: only the modes verify-ca and verify-full check it",
        ),
        (
            "mode = \"require\"\ncert_file = \"a.crt\"",
            "3:1: @: cert_file and key_file belong together",
        ),
        (
            "mode = \"require\"\ncert_file = \"a.crt\"\nkey_file = \"b.key\"",
            "6:12: @.key_file: b.key: it does not belong to the certificate",
        ),
        (
            "mode = \"verify-ca\"\nca_file = \"empty\"",
            "5:11: @.ca_file: empty holds no certificate in PEM",
        ),
    ];
    for (lines, said) in wrong {
        let said = said.replace('@', table);
        assert_eq!(servers(lines).unwrap_err(), [format!("howdah.toml:{said}")], "{lines}");
    }
}

#[test]
fn names_of_certificates() {
    let said = "is no name such as \"CN:app\", \"DNS:app.example\" or \"email:app@example\"";
    for name in ["app", "DNS:", "dns:a", "IP:::1"] {
        assert_mistakes(
            &format!("{SOUND}[user.a]\ncert_names = [\"CN:app\", \"{name}\"]\n"),
            &[
                "3:7: user a: cert_names are for the method cert, or client_cert = \"verify-full\"",
                &format!("4:25: user.a.cert_names: \"{name}\" {said}"),
            ],
        );
    }
}

#[test]
fn names_in_tls() {
    assert_mistakes(
        "[cluster.main]\nnodes = [{ address = \"a\", tls_host = \"b\" }]\n",
        &["2:38: tls_host: connections to the cluster are not encrypted"],
    );
    let no_name = "is no name that a certificate could be for";
    assert_mistakes(
        "[cluster.main]\nnodes = [\"-a\", \"/run/-a\", { address = \"c\", tls_host = \"c d\" }]\n\
         tls.mode = \"require\"\n",
        &[&format!("2:10: \"-a\" {no_name}"), &format!("2:55: \"c d\" {no_name}")],
    );
}
