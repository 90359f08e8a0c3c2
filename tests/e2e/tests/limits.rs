//! Limits of clients: how many, how fast, how long.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::time::{Duration, Instant};

use howdah_e2e::{PATIENCE, RawClient, Running, connect, shared, socket, try_connect, value};

fn proxy(more: &str) -> Running {
    let proxy = Running::start(&shared().nodes(), more);
    proxy.wait_up(3);
    proxy
}

async fn state_of(port: u16, user: &str) -> Option<String> {
    let dsn = format!("host=127.0.0.1 port={port} user={user} password=no-sesame dbname=postgres");
    try_connect(&dsn).await.err().map(|error| error.code().unwrap().code().to_owned())
}

/// What a client is told that does nothing more, and then the end.
async fn last_words(mut client: RawClient) -> String {
    tokio::task::spawn_blocking(move || {
        let message = client.message().unwrap();
        assert!(client.message().is_none());
        RawClient::error(&message).unwrap().0
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn an_address_may_have_so_many_clients() {
    let proxy = proxy("[limits]\nmax_clients_per_address = 2\n");
    let one = connect(proxy.port, "postgres").await;
    let silent = || {
        let stream = socket(proxy.port);
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let (mut second, mut refused) = (silent(), 0);
    let give_up = Instant::now() + PATIENCE;
    while refused < 5 {
        match state_of(proxy.port, "postgres").await.as_deref() {
            // It came in before the silent one, which may have been sent away in its place.
            None => refused = 0,
            state => {
                assert_eq!(state, Some("53300"));
                refused += 1;
            }
        }
        if second.peek(&mut [0]).is_ok() {
            (second, refused) = (silent(), 0);
        }
        assert!(Instant::now() < give_up, "more come in than may");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(value(&one, "SELECT 1").await, "1");
    drop(second);
    while state_of(proxy.port, "postgres").await.is_some() {
        assert!(Instant::now() < give_up);
    }
}

#[tokio::test]
async fn an_address_may_not_come_too_fast() {
    let proxy = proxy("[limits]\nconnections_per_second_per_address = 3\n");
    let mut refused = 0;
    for _ in 0..40 {
        match state_of(proxy.port, "postgres").await.as_deref() {
            None => {}
            Some("53300") => refused += 1,
            Some(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0, "forty logins took {refused} refusals");
    let give_up = Instant::now() + PATIENCE;
    while state_of(proxy.port, "postgres").await.is_some() {
        assert!(Instant::now() < give_up);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_client_may_be_idle_only_so_long() {
    let proxy = proxy("[limits]\nidle_timeout = \"3s\"\nidle_in_transaction_timeout = \"3s\"\n");
    let port = proxy.port;
    let idle = tokio::task::spawn_blocking(move || RawClient::login(port)).await.unwrap();
    let transaction = tokio::task::spawn_blocking(move || {
        let mut client = RawClient::login(port);
        client.query("BEGIN; CREATE TABLE left_behind ()");
        client.until_ready();
        client
    });
    let (idle, transaction) =
        tokio::join!(last_words(idle), async { last_words(transaction.await.unwrap()).await });
    assert_eq!((idle.as_str(), transaction.as_str()), ("57P05", "25P03"));
    // A statement is not idleness, however long it takes, and neither is one after the other.
    let (busy, witness) = (connect(port, "postgres").await, connect(port, "postgres").await);
    for _ in 0..10 {
        value(&busy, "SELECT pg_sleep(0.5)").await;
        value(&witness, "SELECT 1").await;
    }
    drop(witness);
    value(&busy, "SELECT pg_sleep(6)").await;
    assert_eq!(
        value(&busy, "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'").await,
        "0"
    );
}

#[tokio::test]
async fn a_statement_may_take_only_so_long() {
    let proxy = proxy("[limits]\nquery_timeout = \"3s\"\n");
    let client = connect(proxy.port, "postgres").await;
    let error = client.simple_query("SELECT pg_sleep(60)").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    // In a transaction, which fails; and rows that trickle in are no progress.
    client.batch_execute("BEGIN").await.unwrap();
    let trickle = "SELECT pg_sleep(0.2), repeat('x', 9000) FROM generate_series(1, 300)";
    let error = client.simple_query(trickle).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    let error = client.simple_query("SELECT 1").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25P02");
    client.batch_execute("ROLLBACK").await.unwrap();
    // Many short ones are not one long one.
    for _ in 0..10 {
        value(&client, "SELECT pg_sleep(0.5)").await;
    }
}

#[tokio::test]
async fn wrong_passwords_are_answered_slowly_and_the_right_one_at_once() {
    let proxy = proxy("[user.postgres]\npassword = \"sesame\"\n");
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(state_of(proxy.port, "postgres").await.as_deref(), Some("28P01"));
    }
    // 50, 100, 200 and 400 ms at least.
    assert!(began.elapsed() >= Duration::from_millis(750));
    let dsn =
        format!("host=127.0.0.1 port={} user=postgres password=sesame dbname=postgres", proxy.port);
    let client = try_connect(&dsn).await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
}

/// Rules, limits and servers see who is behind a balancer; nobody else may say so, and a balancer must.
#[tokio::test]
async fn a_balancer_says_who_its_clients_are() {
    let proxy = proxy(
        "proxy_protocol_from = [\"127.0.0.1\"]\n[pool]\nshow_client_address = true\n\
         [[rule]]\nmethod = \"reject\"\naddresses = [\"192.0.2.7\", \"2001:db8::/32\"]\n\
         [[rule]]\nmethod = \"trust\"\n",
    );
    let port = proxy.port;
    tokio::task::spawn_blocking(move || {
        let v2 = |command: u8, family: u8, addresses: &[u8]| {
            let len = u16::try_from(addresses.len()).unwrap().to_be_bytes();
            [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &len, addresses].concat()
        };
        let v4 = |last: u8| [192, 0, 2, last, 10, 0, 0, 1, 0x80, 0, 0x19, 0x20];
        let v6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 28], &[0x80, 0, 0x19, 0x20]].concat();
        // Something that this proxy does not know comes behind the addresses.
        let more = [&v4(9)[..], &[0x04, 0, 1, 0]].concat();
        for (header, seen) in [
            (b"PROXY TCP4 192.0.2.8 10.0.0.1 32768 6432\r\n".to_vec(), "192.0.2.8"),
            (b"PROXY TCP6 2001:db9::1 ::1 32768 6432\r\n".to_vec(), "2001:db9::1"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
            (v2(1, 0x11, &v4(8)), "192.0.2.8"),
            (v2(1, 0x11, &more), "192.0.2.9"),
            // A health check of its own.
            (v2(0, 0, &[]), "127.0.0.1"),
        ] {
            let mut client = RawClient::connect(port);
            client.send(&header);
            client.log_in("postgres");
            client.query("SHOW application_name");
            let row = client.until_ready().into_iter().find(|(tag, _)| *tag == b'D').unwrap();
            assert!(String::from_utf8_lossy(&row.1).ends_with(seen), "{seen}: {row:?}");
        }
        for (header, state) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 32768 6432\r\n".to_vec(), "28000"),
            (v2(1, 0x11, &v4(7)), "28000"),
            (v2(1, 0x21, &v6), "28000"),
            (Vec::new(), "08P01"),
            (b"PROXY TCP4 192.0.2.8 10.0.0.1 32768\r\n".to_vec(), "08P01"),
            (b"PROXY TCP4 192.0.2.800 10.0.0.1 32768 6432\r\n".to_vec(), "08P01"),
            ([&b"PROXY "[..], &[b'x'; 200]].concat(), "08P01"),
            (v2(1, 0x11, &[0; 5_000]), "08P01"),
            (v2(1, 0x11, &v4(8)[..6]), "08P01"),
            (v2(7, 0x11, &v4(8)), "08P01"),
        ] {
            let mut client = RawClient::connect(port);
            client.send(&header);
            client.send(&startup());
            let refused = client.message().unwrap();
            assert_eq!(RawClient::error(&refused).unwrap().0, state, "{header:?}");
        }
    })
    .await
    .unwrap();
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0postgres\0\0";
    let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&len[..], body].concat()
}

/// A thousand that send their start-up packet a byte at a time, or nothing, hinder nobody.
#[tokio::test]
async fn those_who_dawdle_hinder_nobody() {
    let proxy = proxy("[limits]\nlogin_timeout = \"5s\"\n");
    let port = proxy.port;
    let dawdlers = tokio::task::spawn_blocking(move || {
        let mut sockets: Vec<_> = (0..1_000).map(|_| socket(port)).collect();
        for byte in [0, 0, 0, 50, 0, 3] {
            for stream in &mut sockets {
                // It may have been sent away.
                let _ = std::io::Write::write_all(stream, &[byte]);
            }
        }
        sockets
    });
    let mut workers = Vec::new();
    for _ in 0..50 {
        workers.push(tokio::spawn(async move {
            let client = connect(port, "postgres").await;
            for _ in 0..20 {
                assert_eq!(value(&client, "SELECT 1").await, "1");
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let sockets = dawdlers.await.unwrap();
    // Each is told, and sent away.
    tokio::task::spawn_blocking(move || {
        for mut stream in sockets {
            let mut last = Vec::new();
            stream.read_to_end(&mut last).unwrap();
            assert!(last.windows(5).any(|bytes| bytes == b"57014"), "{last:?}");
        }
    })
    .await
    .unwrap();
}
