//! Clients whose connections are encrypted.
#![allow(clippy::unwrap_used)]

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use howdah::config::{Origin, Source};
use howdah_e2e::tls::{Authority, SanType};
use howdah_e2e::{RawClient, Running, shared, socket, wait};
use howdah_pgcluster::Installation;
use howdah_wire::startup::{write_cancel, write_gssenc_request, write_ssl_request};
use howdah_wire::{backend, frontend};
use tempfile::TempDir;

/// A proxy with a certificate; `more` is TOML that is put behind `[tls]`.
fn start(more: &str) -> (Running, Authority) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path());
    authority.issue(directory.path());
    (front(directory, more), authority)
}

fn front(directory: tempfile::TempDir, more: &str) -> Running {
    let path = directory.path().display();
    let text = format!(
        "listen = [\"127.0.0.1:0\", \"{path}:5432\"]\nworkers = 2\n[tls]\ncert_file = \"server.crt\"\n\
         key_file = \"server.key\"\n{more}\n[cluster.main]\nnodes = {:?}\n",
        shared().nodes()
    );
    let proxy = Running::with_file(directory, &text);
    proxy.wait_up(3);
    proxy
}

/// What psql says, and whether it went well.
fn psql(proxy: &Running, dsn: &str, commands: &[&str]) -> Output {
    let mut psql = Command::new(Installation::find().unwrap().bin.join("psql"));
    let dsn = format!("host=localhost port={} user=postgres dbname=postgres {dsn}", proxy.port);
    psql.env_clear().args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--dbname",
        &dsn,
    ]);
    for command in commands {
        psql.args(["--command", command]);
    }
    psql.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn says(output: &Output, what: &str) {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains(what), "{said}");
}

#[test]
fn libpq_finds_the_proxy_to_be_who_it_says() {
    let (proxy, authority) = start("");
    let root = format!("sslrootcert={}", authority.file().display());
    for (mode, tls) in [
        ("sslmode=verify-full", "TLSv1.3"),
        ("sslmode=require ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        ("sslmode=prefer", "TLSv1.3"),
    ] {
        let output = psql(&proxy, &format!("{mode} {root}"), &["\\conninfo", "SELECT 6 * 7"]);
        says(&output, &format!("SSL connection (protocol: {tls}"));
        says(&output, "42");
    }
    let output = psql(&proxy, "sslmode=disable", &["\\conninfo", "SELECT 6 * 7"]);
    assert!(!text(&output.stdout).contains("SSL"), "{output:?}");
    says(&output, "42");
    let by_address = format!("sslmode=verify-full {root} hostaddr=127.0.0.1 host=elsewhere");
    says(&psql(&proxy, &by_address, &["SELECT 1"]), "does not match host name \"elsewhere\"");
}

#[test]
fn without_a_certificate_clients_that_do_not_insist_go_on() {
    let proxy = Running::start(&shared().nodes(), "");
    proxy.wait_up(3);
    says(&psql(&proxy, "sslmode=prefer", &["SELECT 6 * 7"]), "42");
    says(&psql(&proxy, "sslmode=require", &["SELECT 1"]), "server does not support SSL");
}

#[test]
fn encryption_can_be_required_and_be_of_the_newest() {
    let (proxy, _authority) = start("mode = \"require\"\nmin_version = \"TLSv1.3\"");
    let refused = psql(&proxy, "sslmode=disable", &["SELECT 1"]);
    says(&refused, "the proxy takes no connections without encryption");
    let mut plain = RawClient::connect(proxy.port);
    plain.send(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0");
    let error = RawClient::error(&plain.message().unwrap()).unwrap();
    assert_eq!(error.0, "28000");
    let local = format!("host={} port=5432", proxy.directory.path().display());
    says(&psql(&proxy, &local, &["SELECT 6 * 7"]), "42");
    says(&psql(&proxy, "sslmode=require", &["SELECT 6 * 7"]), "42");
    let old = psql(&proxy, "sslmode=require ssl_max_protocol_version=TLSv1.2", &["SELECT 1"]);
    says(&old, "alert");
}

/// By SCRAM-SHA-256-PLUS, which libpq chooses where it can.
#[test]
fn libpq_binds_its_logins_to_the_certificate() {
    let (proxy, _authority) =
        start("[user.app]\npassword = \"sesame\"\nserver_user = \"postgres\"");
    let login = |dsn: &str| psql(&proxy, &format!("user=app {dsn}"), &["SELECT 6 * 7"]);
    for binding in ["require", "prefer", "disable"] {
        let how = format!("sslmode=require channel_binding={binding}");
        says(&login(&format!("{how} password=sesame")), "42");
        let refused = login(&format!("{how} password=no-sesame"));
        says(&refused, "password authentication failed for user \"app\"");
    }
    says(&login("sslmode=disable password=sesame channel_binding=prefer"), "42");
    let bare = login("sslmode=disable password=sesame channel_binding=require");
    says(&bare, "channel binding required");
}

/// A client that says which server it wants is shown that one's certificate, and its login is bound to that.
#[test]
fn each_name_has_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path());
    authority.issue(directory.path());
    let sign = |authority: &Authority, path: &Path, file: &str, name: &str| {
        let names = vec![SanType::DnsName(name.try_into().unwrap())];
        let (certificate, key) = authority.sign(names, "whatever");
        std::fs::write(path.join(format!("{file}.crt")), certificate).unwrap();
        std::fs::write(path.join(format!("{file}.key")), key).unwrap();
    };
    sign(&authority, directory.path(), "shop", "shop.example");
    sign(&authority, directory.path(), "apps", "*.apps.example");
    let proxy = front(
        directory,
        "certificates = [{ cert_file = \"shop.crt\", key_file = \"shop.key\" },\n\
         { cert_file = \"apps.crt\", key_file = \"apps.key\" }]\n\
         [user.app]\npassword = \"sesame\"\nserver_user = \"postgres\"",
    );
    let root = format!("sslmode=verify-full sslrootcert={}", authority.file().display());
    let login = |more: &str| {
        let bound = "user=app password=sesame channel_binding=require hostaddr=127.0.0.1";
        psql(&proxy, &format!("{root} {bound} {more}"), &["SELECT 6 * 7"])
    };
    for name in ["shop.example", "one.apps.example", "localhost"] {
        says(&login(&format!("host={name}")), "42");
    }
    for other in ["host=elsewhere.example", "host=shop.example sslsni=0"] {
        says(&login(other), "does not match host name");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::called("another", elsewhere.path());
    sign(&other, proxy.directory.path(), "shop", "shop.example");
    proxy.reload();
    says(&login("host=shop.example"), "certificate verify failed");
    says(&login("host=one.apps.example"), "42");
}

/// The files of a certificate and its key, as parameters of libpq.
fn shown(authority: &Authority, names: Vec<SanType>, common_name: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (certificate, key) = authority.sign(names, common_name);
    std::fs::write(path("crt"), certificate).unwrap();
    std::fs::write(path("key"), key).unwrap();
    // libpq wants nobody else to be able to read it.
    std::fs::set_permissions(path("key"), Permissions::from_mode(0o600)).unwrap();
    let dsn = format!("sslcert={} sslkey={}", path("crt").display(), path("key").display());
    (directory, dsn)
}

#[test]
fn clients_prove_who_they_are_by_certificates() {
    let (proxy, authority) = start(
        "ca_file = \"ca.crt\"\n[auth]\nmethod = \"cert\"\n[user.app]\nserver_user = \"postgres\"\n\
         [user.service]\ncert_names = [\"DNS:a.example\", \"email:me@example.com\"]\nserver_user = \"postgres\"",
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Authority::new(elsewhere.path());
    let dns = vec![SanType::DnsName("A.example".try_into().unwrap())];
    let email = vec![SanType::Rfc822Name("me@example.com".try_into().unwrap())];
    let failed = |user| format!("certificate authentication failed for user \"{user}\"");
    for (user, (_files, dsn), said) in [
        ("app", shown(&authority, Vec::new(), "app"), "42".to_owned()),
        ("service", shown(&authority, dns, "x"), "42".to_owned()),
        ("service", shown(&authority, email, "x"), "42".to_owned()),
        ("service", shown(&authority, Vec::new(), "service"), failed("service")),
        ("app", shown(&authority, Vec::new(), "App"), failed("app")),
        ("nobody", shown(&authority, Vec::new(), "nobody"), failed("nobody")),
        ("app", shown(&stranger, Vec::new(), "app"), "alert".to_owned()),
    ] {
        let dsn = format!("sslmode=require user={user} {dsn}");
        says(&psql(&proxy, &dsn, &["SELECT 6 * 7"]), &said);
    }
    for mode in ["require", "disable"] {
        let refused = psql(&proxy, &format!("sslmode={mode} user=app"), &["SELECT 1"]);
        says(&refused, "connection requires a valid client certificate");
    }
    let mut bare = authority.client(proxy.port);
    bare.send(b"\0\0\0\x12\0\x03\0\0user\0app\0\0");
    assert_eq!(RawClient::error(&bare.message().unwrap()).unwrap().0, "28000");
}

#[test]
fn where_certificates_are_asked_for_clients_need_not_have_any() {
    let (proxy, authority) = start(
        "ca_file = \"ca.crt\"\n[[rule]]\nmethod = \"cert\"\nusers = [\"app\"]\ntls = \"require\"\n\
         [[rule]]\nmethod = \"trust\"\naddresses = [\"127.0.0.1\"]\n",
    );
    let refused = psql(&proxy, "sslmode=require user=app", &["SELECT 1"]);
    says(&refused, "connection requires a valid client certificate");
    says(&psql(&proxy, "sslmode=require", &["SELECT 6 * 7"]), "42");
    let (_files, dsn) = shown(&authority, Vec::new(), "somebody");
    says(&psql(&proxy, &format!("sslmode=require {dsn}"), &["SELECT 6 * 7"]), "42");
}

#[test]
fn encryption_is_asked_for_in_any_order_but_once() {
    let (proxy, authority) = start("");
    let request = |write: fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        write(&mut out);
        out
    };
    let stream = socket(proxy.port);
    let mut client = RawClient::over(stream.try_clone().unwrap());
    client.send(&request(write_gssenc_request));
    assert_eq!(client.byte(), b'N');
    client.send(&request(write_ssl_request));
    assert_eq!(client.byte(), b'S');
    let mut client = RawClient::over(authority.encrypt(stream, &[]));
    client.log_in("postgres");
    client.query("SELECT 1");
    assert_eq!(client.until_ready().len(), 4);
    for (write, number) in [(write_ssl_request as fn(&mut _), 5679), (write_gssenc_request, 5680)] {
        let mut client = authority.client(proxy.port);
        client.send(&request(write));
        let (sqlstate, message) = RawClient::error(&client.message().unwrap()).unwrap();
        assert_eq!(sqlstate, "0A000");
        assert!(message.starts_with(&format!("unsupported frontend protocol 1234.{number}: ")));
        assert_eq!(client.message(), None);
    }
}

/// CVE-2021-23214: what came before encryption must not pass for what came through it.
#[test]
fn bytes_smuggled_in_before_encryption_are_refused() {
    let (proxy, _authority) = start("");
    let mut client = RawClient::connect(proxy.port);
    let mut out = BytesMut::new();
    write_ssl_request(&mut out);
    out.extend_from_slice(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0");
    client.send(&out);
    let (sqlstate, message) = RawClient::error(&client.message().unwrap()).unwrap();
    assert_eq!(sqlstate, "08P01");
    assert_eq!(message, "received unencrypted data after SSL request");
    assert_eq!(client.message(), None);
}

/// As since PostgreSQL 17: the handshake comes first, and names the protocol.
#[test]
fn direct_tls_must_name_the_protocol() {
    let (proxy, authority) = start("");
    let direct = |alpn: &[&[u8]]| authority.encrypt(socket(proxy.port), alpn);
    let mut client = RawClient::over(direct(&[b"h2", b"postgresql"]));
    client.log_in("postgres");
    client.query("SELECT 1");
    assert_eq!(client.until_ready().len(), 4);
    let mut unnamed = direct(&[]);
    // The handshake may end well, but nothing follows.
    let _ = unnamed.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0");
    assert_eq!(unnamed.read(&mut [0; 64]).unwrap_or(0), 0);
    let mut other = direct(&[b"h2"]);
    let error = other.write_all(b"x").unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

/// A client can tell the proxy's last word from somebody cutting the line: rustls reports an end without a farewell.
#[test]
fn the_last_word_is_followed_by_a_farewell() {
    let (proxy, authority) = start("");
    let mut client = authority.client(proxy.port);
    client.send(b"\0\0\0\x08\0\x02\0\0");
    assert_eq!(RawClient::error(&client.message().unwrap()).unwrap().0, "0A000");
    assert_eq!(client.message(), None);
    let mut client = authority.client(proxy.port);
    client.log_in("postgres");
    let mut out = BytesMut::new();
    frontend::Terminate.write(&mut out);
    client.send(&out);
    assert_eq!(client.message(), None);
}

fn running(sql: &str) -> bool {
    let question =
        format!("SELECT count(*) FROM pg_stat_activity WHERE query = '{sql}' AND state = 'active'");
    shared().primary().value("postgres", &question).unwrap() == "1"
}

fn cancel(mut request: RawClient, (pid, key): &(u32, Vec<u8>)) {
    let mut out = BytesMut::new();
    write_cancel(&mut out, *pid, key);
    request.send(&out);
    assert_eq!(request.message(), None);
}

/// The request may be encrypted or not, whatever the query's connection is: libpq encrypts it only since version 17.
#[test]
fn a_cancel_request_reaches_its_query_encrypted_or_not() {
    let (proxy, authority) = start("mode = \"require\"");
    let port = proxy.port;
    // In a transaction, so that it runs on the primary.
    let sql = "BEGIN; SELECT pg_sleep(31)";
    let requests: [&dyn Fn() -> RawClient; 3] = [
        &|| authority.client(port),
        &|| RawClient::over(authority.encrypt(socket(port), &[b"postgresql"])),
        &|| RawClient::connect(port),
    ];
    for request in requests {
        let mut client = authority.client(port);
        client.log_in("postgres");
        let key = client.key.clone().unwrap();
        client.query(sql);
        wait("the query to run", || running(sql));
        cancel(request(), &(key.0, vec![0; 4]));
        cancel(request(), &key);
        let answer = client.until_ready();
        assert_eq!(RawClient::error(&answer[answer.len() - 2]).unwrap().0, "57014");
        client.query("ROLLBACK");
        client.until_ready();
    }
}

/// It may come when its session has long given the server to another one.
#[test]
fn a_late_encrypted_cancel_request_hits_nobody_else() {
    let (proxy, authority) = start("[pool]\nsize = 1\n");
    let port = proxy.port;
    let mut hasty = authority.client(port);
    hasty.log_in("postgres");
    let key = hasty.key.clone().unwrap();
    let over = AtomicBool::new(false);
    let going_on = || !over.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while going_on() {
                cancel(authority.client(port), &key);
            }
        });
        let cancelled = scope.spawn(|| {
            let mut cancelled = 0;
            while going_on() {
                hasty.query("BEGIN; SELECT pg_sleep(0.002); COMMIT");
                let errors = hasty.until_ready().iter().filter_map(RawClient::error).count();
                hasty.query("ROLLBACK");
                hasty.until_ready();
                cancelled += errors;
            }
            cancelled
        });
        let mut other = authority.client(port);
        other.log_in("postgres");
        for _ in 0..200 {
            other.query("BEGIN; SELECT pg_sleep(0.001); COMMIT");
            let answer = other.until_ready();
            let error = answer.iter().find_map(RawClient::error);
            if error.is_some() {
                over.store(true, Ordering::Relaxed);
            }
            assert_eq!(error, None);
        }
        over.store(true, Ordering::Relaxed);
        assert_ne!(cancelled.join().unwrap(), 0, "no request was in time");
    });
}

/// Fifty megabytes each way, to and from a client that dawdles now and then.
#[test]
fn much_goes_both_ways_through_a_narrow_door() {
    const ROWS: usize = 50_000;
    let (proxy, authority) = start("");
    let mut client = authority.client(proxy.port);
    client.log_in("postgres");
    client.query(&format!("SELECT repeat(md5(n::text), 32) FROM generate_series(1, {ROWS}) n"));
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let (tag, body) = client.message().unwrap();
        match tag {
            backend::tag::DATA_ROW => {
                rows += 1;
                bytes += body.len();
                if rows % 10_000 == 0 {
                    // Long enough for every buffer on the way to fill.
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            backend::tag::READY_FOR_QUERY => break,
            backend::tag::ERROR_RESPONSE => panic!("{:?}", RawClient::error(&(tag, body))),
            _ => {}
        }
    }
    assert_eq!((rows, bytes), (ROWS, ROWS * (2 + 4 + 1024)));
    client.query("BEGIN; CREATE TEMP TABLE narrow (t text) ON COMMIT DROP; COPY narrow FROM STDIN");
    client.until_ready();
    let line = [b'x'; 1023];
    let mut row = BytesMut::new();
    frontend::CopyData { data: &[&line[..], b"\n"].concat() }.write(&mut row);
    let many: Vec<u8> = row.repeat(1_000);
    for _ in 0..ROWS / 1_000 {
        client.send(&many);
    }
    let mut out = BytesMut::new();
    frontend::CopyDone.write(&mut out);
    client.send(&out);
    client.until_ready();
    client.query("SELECT sum(length(t)) FROM narrow; COMMIT");
    let answer = client.until_ready();
    let row = answer.iter().find(|(tag, _)| *tag == backend::tag::DATA_ROW).unwrap();
    assert!(row.1.ends_with(&(ROWS * 1023).to_string().into_bytes()));
}

#[test]
fn a_new_certificate_is_for_new_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let old = Authority::new(directory.path());
    old.issue(directory.path());
    let proxy = front(directory, "");
    let mut session = old.client(proxy.port);
    session.log_in("postgres");
    let path = proxy.directory.path().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let new = Authority::new(elsewhere.path());
    // Half of the change is none: key and certificate do not belong together yet.
    let certificate = std::fs::read(path.join("server.crt")).unwrap();
    new.issue(&path);
    let renewed = std::fs::read(path.join("server.crt")).unwrap();
    std::fs::write(path.join("server.crt"), certificate).unwrap();
    proxy.reload();
    old.client(proxy.port).log_in("postgres");
    std::fs::write(path.join("server.crt"), renewed).unwrap();
    proxy.reload();
    let mut client = new.client(proxy.port);
    client.log_in("postgres");
    session.query("SELECT 1");
    assert_eq!(session.until_ready().len(), 4);
}

/// The program itself watches the files, also through links as Kubernetes makes them.
#[test]
fn certificates_are_watched_through_links() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let old = Authority::new(path);
    let version = |name: &str, authority: &Authority| {
        std::fs::create_dir(path.join(name)).unwrap();
        authority.issue(&path.join(name));
    };
    version("1", &old);
    symlink("1", path.join("..data")).unwrap();
    for name in ["server.crt", "server.key"] {
        symlink(Path::new("..data").join(name), path.join(name)).unwrap();
    }
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[tls]\ncert_file = \"server.crt\"\nkey_file = \"server.key\"\n\
         [cluster.main]\nnodes = {:?}\n",
        shared().nodes()
    );
    let file = path.join("howdah.toml");
    std::fs::write(&file, text).unwrap();
    let source = Source::of(Origin::File(file));
    let config = source.load().unwrap();
    let proxy = howdah::run::Proxy::start(config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let new_home = tempfile::tempdir().unwrap();
    let new = Authority::new(new_home.path());
    runtime.block_on(async {
        let mut files = howdah::reload::Files::watch(&source, &proxy.shared.config.load());
        version("2", &new);
        symlink("2", path.join("..next")).unwrap();
        std::fs::rename(path.join("..next"), path.join("..data")).unwrap();
        files.changed().await;
        howdah::reload::reload(&proxy, &source);
    });
    let port = proxy.addresses[0].rsplit(':').next().unwrap().parse().unwrap();
    new.client(port).log_in("postgres");
    proxy.stop();
}

/// They end at the deadline, or at their first wrong byte, and nobody else notices.
#[test]
fn handshakes_that_lead_nowhere_end() {
    let (proxy, authority) = start("[limits]\nlogin_timeout = \"300ms\"\n");
    let mut witness = authority.client(proxy.port);
    witness.log_in("postgres");
    let ask = || {
        let mut stream = socket(proxy.port);
        let mut out = BytesMut::new();
        write_ssl_request(&mut out);
        stream.write_all(&out).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"S");
        stream
    };
    for bytes in [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = ask();
        stream.write_all(bytes).unwrap();
        // An alert at most.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() <= 7 && rest.first().is_none_or(|first| *first == 21), "{rest:?}");
        witness.query("SELECT 1");
        assert_eq!(witness.until_ready().len(), 4);
    }
    wait("all of them to be forgotten", || proxy.proxy().shared.clients() == 1);
}

/// A client that has gone while it waits for a server does not wait on.
#[test]
fn who_hangs_up_while_waiting_is_forgotten() {
    let (proxy, authority) = start("[pool]\nsize = 1\n");
    let mut holder = authority.client(proxy.port);
    holder.log_in("postgres");
    let stream = socket(proxy.port);
    let line = stream.try_clone().unwrap();
    let mut asking = RawClient::over(stream.try_clone().unwrap());
    let mut out = BytesMut::new();
    write_ssl_request(&mut out);
    asking.send(&out);
    assert_eq!(asking.byte(), b'S');
    let mut waiting = RawClient::over(authority.encrypt(stream, &[]));
    waiting.log_in("postgres");
    holder.query("BEGIN");
    holder.until_ready();
    waiting.query("BEGIN");
    // It waits for a server by then; were it sooner noticed, no harm is done.
    std::thread::sleep(Duration::from_millis(50));
    line.shutdown(std::net::Shutdown::Both).unwrap();
    wait("it to be forgotten", || proxy.proxy().shared.clients() == 1);
    holder.query("COMMIT");
    holder.until_ready();
}

/// Replication passes both ways at once for as long as it lasts.
#[test]
fn replication_is_encrypted_too() {
    let (proxy, _authority) = start("[pool]\nmode = \"session\"\n");
    let output = psql(&proxy, "sslmode=require replication=database", &["IDENTIFY_SYSTEM"]);
    assert!(output.status.success(), "{output:?}");
    let directory = tempfile::tempdir().unwrap();
    let dsn = format!("host=localhost port={} user=postgres sslmode=require", proxy.port);
    let mut backup = Command::new(Installation::find().unwrap().bin.join("pg_basebackup"));
    backup.env_clear().args(["--pgdata"]).arg(directory.path().join("copy"));
    let output = backup.args(["--checkpoint=fast", "--dbname", &dsn]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(directory.path().join("copy/PG_VERSION").exists());
}
